from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduler.board.interface import Load
from scheduler.board.interface import Resident as Published
from scheduler.nodes.replies import RunningModel
from scheduler.policy.state import Profile, Resident
from scheduler.residency.assemble import will_expire
from scheduler.residency.book import Book, Changes


def listed(
    name: str, *, digest: str = "", num_ctx: int = 4096, size: int = 10, vram: int = 10
) -> RunningModel:
    return RunningModel(
        name=name,
        digest=digest or f"d-{name}",
        size_bytes=size,
        size_vram=vram,
        num_ctx=num_ctx,
        expires_at=None,
    )


def loaded(name: str, *, at: float = 100.0, **more: object) -> Resident:
    usual = {"digest": f"d-{name}", "profile": Profile(num_ctx=4096, slots=2), "bytes": 10, "cause": "demand"}
    return Resident(node="n1", model=name, loaded_at=at, **{**usual, **more})  # type: ignore[arg-type]


def look(book: Book, *lines: RunningModel, asked_at: float = 200.0, loading: str | None = None) -> Changes:
    return book.reconcile(
        "n1",
        lines,
        asked_at=asked_at,
        now=asked_at + 0.1,
        adopt=lambda line: Profile(num_ctx=line.num_ctx or 1, slots=2),
        loading=loading,
    )


@pytest.fixture
def book() -> Book:
    book = Book()
    book.loaded(loaded("a"))
    return book


def test_what_the_node_lists_stays_and_is_measured(book: Book) -> None:
    assert not look(book, listed("a", size=12, vram=12))
    resident = book.get("n1", "a")
    assert resident is not None
    assert (resident.bytes, resident.measured, resident.cause) == (12, True, "demand")


def test_what_the_node_lists_no_more_is_gone(book: Book) -> None:
    changes = look(book)
    assert [r.model for r in changes.vanished] == ["a"]
    assert book.get("n1", "a") is None


def test_a_look_that_began_before_a_load_does_not_undo_it(book: Book) -> None:
    assert not look(book, asked_at=99.0)
    assert book.get("n1", "a") is not None


def test_a_look_that_began_before_an_unload_does_not_bring_it_back(book: Book) -> None:
    book.unloaded("n1", "a", 150.0)
    assert not look(book, listed("a"), asked_at=149.0)
    assert [r.model for r in look(book, listed("a"), asked_at=151.0).found] == ["a"]


def test_what_others_loaded_is_adopted_as_it_is(book: Book) -> None:
    (found,) = look(book, listed("a"), listed("b", num_ctx=6000)).found
    assert (found.model, found.profile.num_ctx, found.cause, found.used) == ("b", 6000, "found", True)


def test_what_we_are_unloading_is_not_gone_by_others(book: Book) -> None:
    book.leaving.add(("n1", "a"))
    assert not look(book)
    book.leaving.clear()
    assert look(book).vanished


def test_what_is_being_loaded_is_not_found_but_expected(book: Book) -> None:
    assert not look(book, listed("a"), listed("b"), loading="b")
    assert book.get("n1", "b") is None


def test_a_reload_by_others_changes_its_profile(book: Book) -> None:
    (altered,) = look(book, listed("a", num_ctx=16384)).altered
    assert (altered.profile.num_ctx, altered.cause) == (16384, "found")


def test_two_names_of_one_file_are_one_resident(book: Book) -> None:
    assert not look(book, listed("copy-of-a", digest="d-a"))
    assert [r.model for r in book.on("n1")] == ["a"]


def test_host_memory_counts_where_no_gpu_is(book: Book) -> None:
    look(book, listed("a", size=12, vram=0))
    resident = book.get("n1", "a")
    assert resident is not None
    assert (resident.bytes, resident.spilled_bytes) == (12, 0)


def test_a_spill_is_what_lies_outside_vram(book: Book) -> None:
    look(book, listed("a", size=12, vram=9))
    resident = book.get("n1", "a")
    assert resident is not None
    assert (resident.bytes, resident.spilled_bytes) == (9, 3)


def test_free_vram_follows_what_came_and_went_since_the_reading(book: Book) -> None:
    book.loaded(loaded("b", at=160.0, bytes=7))
    book.unloaded("n1", "a", 170.0)
    assert book.moved_since("n1", 165.0) == 10
    assert book.moved_since("n1", 155.0) == 10 - 7
    assert book.moved_since("n2", 0.0) == 0


def test_in_flight_comes_from_the_board_and_a_first_seat_means_used() -> None:
    book = Book()
    book.loaded(loaded("a", used=False, cause="prefetch"))
    book.note_loads([Load(node="n1", model="a", in_flight=0, last_used=100.2)])
    assert not book.residents["n1", "a"].used, "the board counts the publication itself as use"
    book.note_loads([Load(node="n1", model="a", in_flight=2, last_used=101.0)])
    assert (book.residents["n1", "a"].in_flight, book.residents["n1", "a"].used) == (2, True)
    book.note_loads([])
    assert book.residents["n1", "a"].in_flight == 0


def test_a_new_leader_knows_why_each_was_loaded() -> None:
    book = Book()
    book.inherit([Published(node="n1", model="a", num_ctx=4096, slots=3, cause="pin")])
    (found,) = look(book, listed("a")).found
    assert (found.cause, found.profile.slots) == ("pin", 3)


@pytest.mark.parametrize(("year", "ends"), [(2318, False), (2027, True)])
def test_for_ever_is_a_far_expiry(year: int, ends: bool) -> None:
    now = datetime(2026, 12, 31, 23, 58, tzinfo=UTC)
    line = listed("a")
    line = RunningModel(
        **{name: getattr(line, name) for name in ("name", "digest", "size_bytes", "size_vram", "num_ctx")},
        expires_at=datetime(year, 1, 1, tzinfo=UTC),
    )
    assert will_expire(line, now.timestamp()) is ends

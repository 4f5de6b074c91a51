from __future__ import annotations

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError
from django.utils import timezone

from scheduler.models import Node
from scheduler.models.node import clean_url

pytestmark = pytest.mark.django_db

GIB = 2**30


def make(name: str = "a", **fields: object) -> Node:
    node = Node(**{"name": name, "url": f"http://{name}:11434"} | fields)
    node.full_clean()
    node.save()
    return node


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("gpu1", "http://gpu1:11434"),
        ("gpu1:8000/", "http://gpu1:8000"),
        (" HTTP://GPU1:11434 ", "http://gpu1:11434"),
        ("https://ollama.example.org/team/", "https://ollama.example.org:443/team"),
        ("[::1]:11434", "http://[::1]:11434"),
    ],
)
def test_an_address_is_kept_in_one_form(typed: str, kept: str) -> None:
    assert clean_url(typed) == kept


@pytest.mark.parametrize(
    "typed", ["", "ftp://gpu1", "http://", "http://user:secret@gpu1", "http://gpu1:99999", "http://gpu1?x=1"]
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError) as caught:
        clean_url(typed)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("fields", [{"name": "a|b"}, {"name": "-a"}, {"name": "a\n"}, {"slots": 0}])
def test_a_wrong_row_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make(**fields)  # type: ignore[arg-type]


def test_addresses_seed_rows_once() -> None:
    first = Node.objects.seed(["http://gpu1:11434", "gpu1:11434", "http://gpu1:11435"])
    assert [node.name for node in first] == ["gpu1", "gpu1-11435"]
    assert Node.objects.seed(["gpu1:11434/"]) == []


def test_an_answer_and_a_silence_move_the_state() -> None:
    node = make()
    node.saw(version="0.33.0")
    assert (node.state, node.version, node.last_error) == ("up", "0.33.0", "")
    since = node.state_since
    node.saw(version="0.33.0")
    assert node.state_since == since
    node.missed("connection refused")
    assert (node.state, node.state_reason, node.takes_work) == ("down", "connection refused", False)
    node.saw(version="0.33.1")
    node.refresh_from_db()
    assert (node.state, node.version, node.takes_work) == ("up", "0.33.1", True)


def test_a_quarantine_outlives_an_answer() -> None:
    node = make()
    node.become(Node.State.QUARANTINED, "its loads hang")
    node.saw(version="0.33.0")
    assert (node.state, node.takes_work) == ("quarantined", False)


def test_only_fit_nodes_take_work() -> None:
    make("fit")
    make("off", enabled=False)
    make("draining", draining=True)
    make("down").missed("gone")
    assert [node.name for node in Node.objects.takes_work()] == ["fit"]
    assert [node.name for node in Node.objects.all() if node.takes_work] == ["fit"]


def test_slots_and_memory_fall_back_to_settings_and_readings(settings: LazySettings) -> None:
    settings.DEFAULT_SLOTS = 2
    node = make()
    assert (node.parallel, node.vram_total) == (2, None)
    node.read_gpus([{"total": 24 * GIB}, {"total": 48 * GIB}], timezone.now())
    assert node.vram_total == 72 * GIB
    node.vram_bytes, node.slots = 40 * GIB, 4
    assert (node.parallel, node.vram_total) == (4, 40 * GIB)

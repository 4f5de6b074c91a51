"""The picture of a replay: nothing is missing, everything lies within, and it is XML that a browser reads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.core.management import call_command

from scheduler.replay import picture
from scheduler.replay.drawing import clock, ticks, time_ticks
from scheduler.replay.fleet import Timing, parse
from scheduler.replay.outcome import Span
from scheduler.replay.policies import Setting, run
from scheduler.replay.trace import Trace, write
from tests.scheduler.replay.cast import trace

SVG = "{http://www.w3.org/2000/svg}"
SIZES = dict.fromkeys(("a", "b", "<c>"), 10.0)


@pytest.fixture
def requests() -> Trace:
    return trace([(20.0 * i, f"k{i % 2}", list(SIZES)[i % 3]) for i in range(60)], SIZES)


def drawn(requests: Trace, policy: str = "lru", since: float = 0.0) -> ElementTree.Element:
    setting = Setting(trace=requests, nodes=lambda: parse("2x12", Timing()), timing=Timing(), picture=True)
    _, record = run(policy, setting)
    return ElementTree.fromstring(picture.svg(requests, record, setting.nodes(), since, "a & b"))


def counted(root: ElementTree.Element, kind: str) -> int:
    return sum(int(e.get("data-count", "0")) for e in root.iter(f"{SVG}path") if e.get("class") == kind)


def test_every_request_is_a_hit_or_a_wait(requests: Trace) -> None:
    root = drawn(requests)
    assert counted(root, "hit") + counted(root, "wait") == 60
    assert counted(root, "wait") > 0


def test_every_stay_is_told_with_its_model(requests: Trace) -> None:
    titles = [e.text or "" for e in drawn(requests).iter(f"{SVG}title")]
    assert any(t.startswith("<c>: loaded 00:00:4") for t in titles)
    assert len(titles) >= 3


def test_prefetched_stays_have_a_dashed_edge(requests: Trace) -> None:
    assert not any("prefetched" in (e.text or "") for e in drawn(requests).iter(f"{SVG}title"))
    oracle = drawn(requests, "oracle")
    dashed = [e for g in oracle.iter(f"{SVG}g") for e in g if e.get("stroke-dasharray")]
    ahead = [e for e in oracle.iter(f"{SVG}title") if "prefetched" in (e.text or "")]
    assert len(dashed) == len(ahead) > 0


def test_nothing_lies_outside(requests: Trace) -> None:
    root = drawn(requests)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for box in root.iter(f"{SVG}rect"):
        if box.get("x") is not None:
            assert 0 <= float(box.attrib["x"]) <= float(box.attrib["x"]) + float(box.attrib["width"]) <= width
            assert 0 <= float(box.attrib["y"]) + float(box.attrib["height"]) <= height


def test_colours_follow_light_and_dark(requests: Trace) -> None:
    style = next(drawn(requests).iter(f"{SVG}style")).text or ""
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    assert re.findall(r"\.(\w+){", light) == re.findall(r"\.(\w+){", dark)


def test_a_long_trace_is_drawn_in_part_and_the_picture_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "MOST_STAYS", 4)
    long = trace([(20.0 * i, "k", list(SIZES)[i % 3]) for i in range(60)], SIZES)
    words = " ".join(e.text or "" for e in drawn(long).iter(f"{SVG}text"))
    assert "a & b  ·  00:00 to 00:01" in words
    later = drawn(long, since=600.0)
    assert "00:10 to" in " ".join(e.text or "" for e in later.iter(f"{SVG}text"))
    assert 0 < counted(later, "hit") + counted(later, "wait") < 10


def test_stays_at_the_same_time_never_lie_on_each_other() -> None:
    """First fit, and pieces where no gap takes a model whole."""
    stay = Span("n", "a", 0.0, 1.0, False)
    stays = {
        0: stay,
        1: replace(stay, model="b", gone=5.0),
        2: replace(stay, model="a"),
        3: replace(stay, model="c", load_from=6.0),
    }
    places = picture.stacked(stays, {"a": 5, "b": 4, "c": 8}, {"n": 20})
    assert places == {0: [(0, 5)], 1: [(5, 9)], 2: [(9, 14)], 3: [(14, 20), (5, 7)]}


def test_waits_that_overlap_get_rows_of_their_own() -> None:
    assert [row for *_, row in picture.rows_of([(0, 5), (1, 2), (3, 4), (5, 6)])] == [0, 1, 1, 0]


def test_a_broken_picture_leaves_the_one_before(
    tmp_path: Path, requests: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(requests, tmp_path / "t.csv")
    target = tmp_path / "p.svg"
    target.write_text("before")

    def broken(*_: object) -> str:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(picture, "svg", broken)
    with pytest.raises(RuntimeError):
        call_command(
            "replay", str(tmp_path / "t.csv"), policy=["lru"], nodes="1x24", json=True, picture=target
        )
    assert target.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("most", "found"), [(100, [0, 20, 40, 60, 80, 100]), (0.7, [0, 0.2, 0.4, 0.6, 0.8]), (0, [0, 1])]
)
def test_ticks_are_round_numbers(most: float, found: list[float]) -> None:
    assert ticks(most) == pytest.approx(found)


def test_moments_are_round_and_read_as_clocks() -> None:
    assert time_ticks(30, 500) == [60, 120, 180, 240, 300, 360, 420, 480]
    assert [clock(t) for t in (59.6, 3600, 90_000)] == ["00:01", "01:00", "1d 01:00"]
    assert len(time_ticks(0, 30 * 86_400)) <= 9

"""`manage.py plan`: its table, its JSON, its picture, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.core.management import CommandError, call_command

from scheduler.models import GpuType
from scheduler.replay.trace import write
from tests.scheduler.planning.cast import cycle

pytestmark = pytest.mark.django_db
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    GpuType.objects.all().delete()
    for name, vram, usd in (("cheap", 12, "0.1"), ("quick", 32, "0.25"), ("small", 4, "0.01")):
        GpuType.objects.create(name=name, vram_gb=vram, usd_per_hour=usd)
    write(cycle(), tmp_path / "t.csv")
    return tmp_path / "t.csv"


def test_the_cheapest_fleet_is_named_with_its_cost(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("plan", str(path), policy=["lru"], wait_p95_s=4.0)
    told = capsys.readouterr()
    lines = [line.split("\t") for line in told.out.splitlines()]
    assert lines[0][1:4] == ["FLEET", "POLICY", "$/MONTH"]
    assert ["best", "1x quick", "lru", "182"] in [line[:4] for line in lines]
    assert "1x quick is the cheapest that keeps p95 wait at most 4 s: $182 a month" in told.out
    assert "60 requests are few" in told.err


def test_json_has_the_best_the_frontier_and_every_fleet(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("plan", str(path), policy=["lru"], json=True, all=True, most_nodes=3, pin=[("a", 1)])
    found = json.loads(capsys.readouterr().out)
    assert found["targets"] == {"wait_p95_s": 2.0}
    assert (found["requests"], found["pins"], found["too_small"]) == (60, [["a", 1]], ["small"])
    assert len(found["fleets"]) == 6
    assert (found["best"]["gpu"], found["best"]["nodes"]) == ("quick", 1)
    costs = [fleet["usd_per_month"] for fleet in found["fleets"] if fleet["meets"]]
    assert found["best"]["usd_per_month"] == min(costs)
    waits = [fleet["wait_p95_s"] for fleet in found["frontier"]]
    assert waits == sorted(waits, reverse=True)


def test_the_picture_has_a_dot_for_each_fleet(path: Path, tmp_path: Path) -> None:
    picture = tmp_path / "p.svg"
    call_command("plan", str(path), policy=["lru"], json=True, all=True, most_nodes=2, picture=picture)
    root = ElementTree.fromstring(picture.read_text())
    titles = [e.text or "" for e in root.iter(f"{SVG}title")]
    assert len(titles) == 4
    assert any(t.startswith("1x cheap, lru: $73 a month") and "misses" in t for t in titles)
    assert any(t.startswith("1x quick, lru: $182 a month") and "meets" in t for t in titles)
    assert sum(e.get("class") == "best" for e in root.iter(f"{SVG}circle")) == 1
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for dot in root.iter(f"{SVG}circle"):
        assert 0 < float(dot.attrib["cx"]) < width
        assert 0 < float(dot.attrib["cy"]) < height


def test_only_the_types_that_are_named_are_compared(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    GpuType.objects.filter(name="quick").update(enabled=False)
    call_command("plan", str(path), policy=["lru"], json=True)
    assert [k["name"] for k in json.loads(capsys.readouterr().out)["kinds"]] == ["small", "cheap"]
    call_command("plan", str(path), policy=["lru"], json=True, gpu=["quick"])
    assert [k["name"] for k in json.loads(capsys.readouterr().out)["kinds"]] == ["quick"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"gpu": ["nonesuch"]}, "no GPU type nonesuch; there are small, cheap, quick"),
        ({"policy": ["nonesuch"]}, "there is no policy"),
        ({"gpu": ["small"]}, "fits on no type of GPU"),
        ({"jobs": 0}, "--jobs"),
        ({"most_nodes": 100}, "from 1 to 64"),
        ({"picture": Path("/nonexistent/p.svg")}, "no directory"),
    ],
)
def test_bad_input_ends_with_status_two_and_a_reason(
    path: Path, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(CommandError, match=says) as error:
        call_command("plan", str(path), **arguments)
    assert error.value.returncode == 2


def test_a_bad_trace_is_named_by_its_line(path: Path) -> None:
    path.write_text(path.read_text() + "soon,k0,a,1,1\n")
    with pytest.raises(CommandError, match="line 62: timestamp_s") as error:
        call_command("plan", str(path))
    assert error.value.returncode == 2
    with pytest.raises(CommandError, match="Give a trace"):
        call_command("plan")


@pytest.mark.parametrize("words", ["a*0", "*2", "a*x"])
def test_a_pin_that_is_none_is_refused(path: Path, words: str) -> None:
    with pytest.raises(CommandError, match="no pin"):
        call_command("plan", str(path), "--pin", words)

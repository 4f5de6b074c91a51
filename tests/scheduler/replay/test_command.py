"""`manage.py replay`: its JSON, its table, its picture, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.core.management import CommandError, call_command

from scheduler.replay.trace import write
from tests.scheduler.replay.cast import trace

FIELDS = {
    *("policy", "requests", "cold_share", "wait_mean_s", "wait_p50_s", "wait_p95_s"),
    *("wait_p99_s", "wait_max_s", "loads", "prefetches", "wasted", "jain"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [(20.0 * i, f"k{i % 2}", "abc"[i % 3]) for i in range(60)]
    write(trace(rows, dict.fromkeys("abc", 10)), tmp_path / "t.csv")
    return tmp_path / "t.csv"


def test_one_policy_is_one_object(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("replay", str(path), policy=["bridge"], nodes="1x24", json=True)
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == FIELDS
    assert (figures["policy"], figures["requests"]) == ("bridge", 60)


def test_several_policies_are_compared(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("replay", str(path), policy=["ollama,lru", "oracle"], nodes="1x24", json=True)
    figures = json.loads(capsys.readouterr().out)["policies"]
    assert [f["policy"] for f in figures] == ["ollama", "lru", "oracle"]
    assert figures[2]["cold_share"] <= figures[1]["cold_share"]


def test_the_table_shows_ratios_to_ollama_and_to_the_oracle(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("replay", str(path), nodes="1x24")
    text = capsys.readouterr().out
    assert "÷ ollama" in text
    assert "÷ oracle" in text
    assert "1.00" in text


def test_the_same_replay_gives_the_same_figures(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outs = []
    for _ in range(2):
        call_command("replay", str(path), policy=["bridge"], nodes="1x24", json=True)
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1]


def test_a_picture_shows_every_stay_and_every_request(path: Path, tmp_path: Path) -> None:
    picture = tmp_path / "p.svg"
    call_command("replay", str(path), policy=["lru"], nodes="1x24", json=True, picture=picture)
    root = ElementTree.fromstring(picture.read_text())
    svg = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{svg}path")) == 60
    assert len(list(root.iter(f"{svg}title"))) >= 3


def test_a_generated_workload_is_replayed_and_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "s.csv"
    call_command("replay", "random:4", save=target)
    assert "10000 requests" in capsys.readouterr().out
    assert target.exists()
    assert (tmp_path / "s.models.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"policy": ["nonesuch"]}, "there is no policy 'nonesuch'"),
        ({"nodes": "many"}, "write 2x48"),
        ({"nodes": "0x48"}, "write 2x48"),
        ({"nodes": "1x4"}, "fits on no node"),
        ({"faster": 0.0}, "--faster"),
        ({"slots": 0}, "--slots"),
        ({"models": Path("/nonexistent.csv")}, "cannot be read"),
    ],
)
def test_bad_input_ends_with_status_two_and_a_reason(
    path: Path, arguments: dict[str, object], says: str
) -> None:
    with pytest.raises(CommandError) as error:
        call_command("replay", str(path), **arguments)
    assert error.value.returncode == 2
    assert says in str(error.value)


def test_a_generated_workload_needs_a_seed() -> None:
    with pytest.raises(CommandError, match="as the seed"):
        call_command("replay", "switching:x")

"""`manage.py replay`: its JSON, its table, its picture, and its exit status."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

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


def test_predictors_are_compared_under_one_policy(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["bridge+none", "bridge+seed", "bridge+own", "bridge+hints", "bridge+oracle"]
    call_command("replay", str(path), policy=names, nodes="1x24", json=True)
    figures = json.loads(capsys.readouterr().out)["policies"]
    assert [f["policy"] for f in figures] == names
    none, oracle = figures[0], figures[-1]
    assert none["prefetches"] == 0 < oracle["prefetches"]
    assert oracle["cold_share"] < none["cold_share"]
    call_command("replay", str(path), policy=["bridge"], nodes="1x24", json=True)
    own = json.loads(capsys.readouterr().out)
    assert own | {"policy": "bridge+own"} == figures[2]


def test_nothing_is_written_about_progress_in_a_pipe(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    call_command("replay", str(path), policy=["lru"], nodes="1x24")
    assert capfd.readouterr().err == ""


def test_on_a_terminal_progress_is_told(path: Path) -> None:
    """In a pseudo-terminal of its own."""
    ours, theirs = os.openpty()
    command = [sys.executable, "manage.py", "replay", str(path), "--policy", "lru,seed", "--nodes", "1x24"]
    with os.fdopen(ours, "rb", buffering=0) as screen:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=True)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that nobody holds the other end any more
            while part := screen.read(4096):
                shown += part
    assert b"seed" in shown
    assert b"%" in shown
    assert b"seed" in done.stdout


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
        ({"policy": ["lru+seed"]}, "only the bridge takes other predictors"),
        ({"policy": ["bridge+magic"]}, "there are own, hints, seed, none, oracle"),
        ({"picture": Path("/nonexistent/p.svg")}, "there is no directory /nonexistent"),
        ({"save": Path("/tmp")}, "it is a directory"),
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

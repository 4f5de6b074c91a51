"""Secrets that nobody was asked for."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bridge.secrets import kept


def test_a_secret_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = kept(data, "pepper")
    assert len(first) >= 60
    assert kept(data, "pepper") == first
    assert kept(data, "other") != first
    assert stat.S_IMODE((data / "pepper").stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_those_who_race_agree_and_leave_nothing_behind(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        values = set(pool.map(lambda _: kept(tmp_path, "secret"), range(64)))
    assert len(values) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_secret_that_an_operator_wrote_is_kept(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("chosen\n")
    assert kept(tmp_path, "secret") == "chosen"

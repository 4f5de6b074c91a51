"""The verdicts of `make bench-scheduling`: medians over cases, judged against a bound."""

from __future__ import annotations

from pathlib import Path

from tests.bench.scheduling import Bench, Case, at_most, show, verdict


def test_the_median_is_judged_and_each_value_is_kept() -> None:
    [met] = verdict("w", "cold", [0.1, 0.9, 0.2], 0.25)
    assert (met.value, met.met, met.each) == (0.2, True, (0.1, 0.9, 0.2))
    [missed] = verdict("w", "Jain", [0.8], 0.9, least=True)
    assert not missed.met


def test_without_cases_there_is_no_verdict(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert list(at_most(bench, "w", [Case("not_there", "1x48")], "bridge", ("loads", "lru", 1.0))) == []


def test_a_ratio_of_two_replays_stands_in_the_table(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    case = Case("switching:5#1", "1x24")
    verdicts = list(at_most(bench, "half", [case], "bridge-plain", ("loads", "lru", 1.3)))
    ours, lru = (bench.outcomes[case, policy].loads for policy in ("bridge-plain", "lru"))
    assert verdicts[0].value == ours / lru
    printed = show(bench, {"Some": verdicts})
    assert f"| half | bridge-plain: loads / lru | {ours / lru:.3g} |  | 1.3 | met |" in printed
    assert "| switching:5#1 on 1x24 | lru |" in printed

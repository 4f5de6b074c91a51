from __future__ import annotations

from pathlib import Path

from tests.bench.figures import BOUNDS, Block, Bound, Results, Spread, against_direct, short
from tests.bench.report import COLUMNS, RATIOS, read_json, tables, write_json


def block(
    number: int, target: str, route: str = "native", scenario: str = "small", **figures: float
) -> Block:
    return Block(round=number, scenario=scenario, target=target, route=route, figures=figures)


def test_a_ratio_is_taken_within_each_round_before_the_median() -> None:
    # The machine halves its speed in round 1: both slow down, and the ratio stays.
    blocks = [block(0, "bridge", cpu_ms=1.0), block(0, "nginx", cpu_ms=0.1)]
    blocks += [block(1, "bridge", cpu_ms=2.0), block(1, "nginx", cpu_ms=0.2)]
    assert Results(blocks).ratio("small", "bridge", "native", "cpu_ms", "nginx") == Spread.of([10.0, 10.0])


def test_litellm_is_compared_on_the_route_that_it_speaks() -> None:
    blocks = [block(0, "bridge", cpu_ms=1.0), block(0, "litellm", "openai", cpu_ms=20.0)]
    assert Results(blocks).ratio("small", "bridge", "native", "cpu_ms", "litellm") == Spread.of([0.05])


def test_rounds_in_which_one_side_failed_are_left_out() -> None:
    blocks = [block(0, "bridge", rps=10.0), block(1, "bridge", rps=30.0), block(1, "nginx", rps=300.0)]
    assert Results(blocks).ratio("small", "bridge", "native", "rps", "nginx") == Spread.of([0.1])
    assert Results(blocks).ratio("small", "bridge", "native", "rps", "litellm") is None


def test_what_a_proxy_adds_is_against_direct_in_its_round_and_route() -> None:
    blocks = [
        block(0, "direct", scenario="ttft", ttft_p50_ms=0.1, ttft_p99_ms=0.2),
        block(1, "direct", scenario="ttft", ttft_p50_ms=0.3, ttft_p99_ms=0.3),
        block(1, "bridge", scenario="ttft", ttft_p50_ms=0.8, ttft_p99_ms=0.2),
    ]
    figures = against_direct(blocks)[2].figures
    assert round(figures["added_ttft_p50_ms"], 6) == 0.5
    assert figures["added_ttft_p99_ms"] == 0.001


def test_the_share_forwarded_is_of_what_came_directly() -> None:
    blocks = [
        block(0, "direct", scenario="paced200", chunks_per_s=20_000.0),
        block(0, "bridge", scenario="paced200", chunks_per_s=19_000.0),
    ]
    assert against_direct(blocks)[1].figures["share"] == 0.95


def test_a_bound_is_met_missed_or_not_measured() -> None:
    results = Results([block(0, "bridge", cpu_ms=1.0, rps=10), block(0, "nginx", cpu_ms=0.1, rps=100)])
    cpu = Bound("CPU", "small", "native", "cpu_ms", "<=", 15, "nginx")
    rps = Bound("requests/s", "small", "native", "rps", ">=", 11)
    other = Bound("requests/s", "small", "native", "rps", ">=", 50, "litellm")
    assert [b.judge(results).met for b in (cpu, rps, other)] == [True, False, None]
    assert cpu.judge(results).bound == "<= 15 x nginx"


def test_every_bound_and_ratio_is_of_a_figure_that_is_shown() -> None:
    for bound in BOUNDS:
        assert bound.figure in COLUMNS[bound.scenario]
    for scenario, figures in RATIOS.items():
        assert set(figures) <= set(COLUMNS[scenario])


def test_the_tables_show_targets_ratios_and_verdicts() -> None:
    blocks = [block(0, "bridge", cpu_ms=1.0, rps=9_000.0), block(0, "nginx", cpu_ms=0.1, rps=50_000.0)]
    shown = tables(blocks)
    assert "| bridge native | 1      | 9,000  |" in shown
    assert "small native: CPU" in shown
    assert "NOT MET" not in shown
    missed = tables([block(0, "bridge", cpu_ms=1.6), block(0, "nginx", cpu_ms=0.1)])
    assert "NOT MET" in missed


def test_figures_have_three_digits() -> None:
    assert [short(v) for v in (0.0, 0.012345, 1.5, 99.94, 12345.6)] == [
        "0",
        "0.0123",
        "1.5",
        "99.9",
        "12,346",
    ]


def test_a_machine_that_was_not_quiet_is_said_so() -> None:
    quiet = [
        block(0, "bridge", cpu_ms=1.0, others_share=0.02),
        block(0, "nginx", cpu_ms=0.1, others_share=0.04),
    ]
    assert tables(quiet).endswith("Other programs took 3% [2%-4%] of the proxies' core.")
    busy = [block(0, "bridge", cpu_ms=1.0, others_share=0.5)]
    assert "not quiet" in tables(busy)


def test_a_written_run_reads_back_as_it_was(tmp_path: Path) -> None:
    blocks = [block(0, "bridge", cpu_ms=1.0), block(0, "nginx", cpu_ms=0.1)]
    path = tmp_path / "results" / "run.json"
    write_json(path, {"rounds": 1}, blocks)
    assert read_json(path) == blocks

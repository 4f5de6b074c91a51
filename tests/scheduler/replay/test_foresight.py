"""Prefetch within a replay: it hides loads, keeps its account, and in shadow mode acts on nothing."""

from __future__ import annotations

from dataclasses import replace

from scheduler.policy.config import Config
from scheduler.policy.foresight import Foresight
from scheduler.policy.prediction import Predictor
from scheduler.replay.fleet import Timing, parse
from scheduler.replay.gateway import Gateway
from scheduler.replay.policies import EXACT, ON_DEMAND
from scheduler.replay.synthetic import switching
from scheduler.replay.trace import Trace
from tests.scheduler.replay.cast import trace

CYCLE = trace([(20.0 * i, "k", "abcd"[i % 4]) for i in range(200)], dict.fromkeys("abcd", 10))


def gateway(rows: Trace, config: Config, *, hints: bool = False) -> Gateway:
    timing, predictor = Timing(), Predictor()
    ahead = Foresight(predictor, config)
    return Gateway(rows, parse("1x24", timing), timing, config, predictor, ahead, hints=hints)


def test_a_learned_cycle_is_met_warm_where_no_eviction_rule_could() -> None:
    without = gateway(CYCLE, ON_DEMAND).run()
    ahead = gateway(CYCLE, EXACT).run()
    assert sum(ahead.cold) < 0.15 * len(CYCLE)
    assert sum(ahead.cold) < 0.4 * sum(without.cold)
    assert ahead.wasted <= 0.2 * ahead.prefetches


def test_hints_hide_what_cannot_be_learned() -> None:
    rows = switching(11, requests=600)
    assert sum(gateway(rows, EXACT, hints=True).run().cold) < 0.5 * sum(gateway(rows, EXACT).run().cold)


def test_the_account_agrees_with_the_record() -> None:
    run = gateway(switching(12, requests=1500), EXACT)
    record = run.run()
    assert run.ahead is not None
    kinds = [e.kind for e in run.ahead.endings]
    still_open = record.prefetches - len(kinds)
    assert 0 <= still_open <= 4
    unused = [e for e in run.ahead.endings if e.kind == "wasted"]
    assert record.wasted - still_open <= len(unused) + kinds.count("harmful")
    assert sum(e.seconds for e in run.ahead.endings) > 0


def test_shadow_mode_scores_without_acting() -> None:
    rows = switching(13, requests=1500)
    run = gateway(rows, replace(EXACT, prefetch_shadow=True))
    record = run.run()
    plain = gateway(rows, ON_DEMAND).run()
    assert record.prefetches == 0
    assert record.waits == plain.waits
    assert run.ahead is not None
    assert sum(e.kind == "hit" for e in run.ahead.endings) > 100
    assert all(e.shadow for e in run.ahead.endings)

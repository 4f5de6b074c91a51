"""Prediction: chances from what was seen, worked out by hand where that is possible."""

from __future__ import annotations

import random

import pytest

from scheduler.policy.gaps import HALVE_AT, Gaps, chance
from scheduler.policy.hints import Hint
from scheduler.policy.markov import WindowMarkov
from scheduler.policy.prediction import MOST_KEYS, SESSION_S, Predictor
from scheduler.policy.transitions import Transitions

DAY = 86_400.0


def cycled(models: str, times: int, gap: float = 10.0, key: str = "k") -> tuple[Predictor, float]:
    predictor, at = Predictor(), 1e6
    for i in range(times):
        predictor.observe(at, key, models[i % len(models)])
        at += gap
    return predictor, at - gap


# -- gaps


def test_the_share_of_gaps_within_a_time_is_interpolated_between_half_octaves() -> None:
    gaps = Gaps()
    for _ in range(4):
        gaps.add(8.0)
    assert gaps.within(8.0) == 0.0
    assert gaps.within(8.0 * 2**0.25) == pytest.approx(2.0)
    assert gaps.within(8.0 * 2**0.5) == pytest.approx(4.0)
    assert gaps.within(1e12) == 4.0


def test_the_chance_is_of_those_gaps_that_are_not_over_yet() -> None:
    gaps = Gaps()
    for seconds in (2.1, 2.1, 40.0, 40.0):
        gaps.add(seconds)
    alone = ((gaps, 0.0),)
    assert chance(alone, 0.0, 4.0) == pytest.approx(0.5)
    assert chance(alone, 5.0, 5.0) == 0.0
    assert chance(alone, 5.0, 100.0) == pytest.approx(1.0)


def test_a_prior_counts_for_as_many_gaps_as_its_weight() -> None:
    own, prior = Gaps(), Gaps()
    own.add(1000.0)
    for _ in range(50):
        prior.add(2.1)
    assert chance(((own, 0.0), (prior, 3.0)), 0.0, 10.0) == pytest.approx(0.75)


def test_waits_without_an_end_make_silence_less_hopeful() -> None:
    gaps = Gaps()
    for seconds in (2.1, 2.1, 40.0, 40.0):
        gaps.add(seconds)
    alone = ((gaps, 0.0),)
    # One wait in five has no end: 4 gaps stand for 5 waits, and after 5 s 2 gaps for 3.
    assert chance(alone, 0.0, 4.0, never=0.2) == pytest.approx(2 / 5)
    assert chance(alone, 5.0, 100.0, never=0.2) == pytest.approx(2 / 3)


def test_the_mean_gap_is_of_the_middles_of_the_bins_below_a_time() -> None:
    gaps = Gaps()
    for seconds in (2.1, 5.0, 5.0, 900.0):
        gaps.add(seconds)
    two, five = (2 + 2**1.5) / 2, (4 + 4 * 2**0.5) / 2
    assert gaps.mean(100.0) == pytest.approx((two + 2 * five) / 3)
    assert Gaps().mean(100.0) == 0.0


def test_old_gaps_are_forgotten() -> None:
    gaps = Gaps()
    for _ in range(int(HALVE_AT) * 3):
        gaps.add(2.1)
    for _ in range(int(HALVE_AT)):
        gaps.add(100.0)
    assert gaps.total <= HALVE_AT
    assert gaps.within(10.0) < 0.4 * gaps.total


# -- transitions


def test_shares_follow_the_counts_and_small_ones_are_left_out() -> None:
    rows = Transitions()
    for after, count in (("b", 60), ("c", 30), ("d", 1)):
        for _ in range(count):
            rows.add("a", after)
    shares = rows.shares("a")
    assert shares["b"] == pytest.approx(60 / 91, rel=0.1)
    assert "d" not in shares


def test_a_key_without_history_follows_what_all_do_and_soon_its_own() -> None:
    shared, own = Transitions(), Transitions()
    for _ in range(40):
        shared.add("a", "b")
    assert own.mixed("a", shared) == {"b": 1.0}
    for _ in range(6):
        own.add("a", "c")
    mixed = own.mixed("a", shared)
    assert mixed["c"] == pytest.approx(6 / 8)
    assert mixed["b"] == pytest.approx(2 / 8)


def test_memory_of_transitions_is_bounded() -> None:
    rows = Transitions(most_from=4, most_next=3)
    for i in range(500):
        rows.add(f"f{i % 9}", f"t{i % 11}")
    assert len(rows.rows) <= 4
    assert all(len(row) <= 4 for row in rows.rows.values())
    assert rows.rows.keys() == rows.sums.keys()


# -- the predictor


def test_after_a_cycle_the_next_model_is_likely_and_the_others_are_not() -> None:
    predictor, now = cycled("abcd", 80)  # the last was d
    following = predictor.chances(now + 1, 30.0, 1)
    assert following["a"] > 0.8
    assert following.get("c", 0.0) < 0.1


def test_what_comes_in_two_or_three_steps_is_worth_keeping_too() -> None:
    predictor, now = cycled("abcd", 80)
    keep = predictor.chances(now + 1, 120.0, 3)
    assert keep["a"] >= keep["b"] >= keep["c"] > 0.3
    assert keep.get("d", 0.0) < keep["c"]


def test_a_model_that_is_used_again_and_again_is_not_counted_twice() -> None:
    """A key that only ever uses `a`: three steps reach it no more surely than one."""
    predictor, now = cycled("a", 200, gap=45.0)
    one = predictor.chances(now + 1, 60.0, 1)["a"]
    three = predictor.chances(now + 1, 60.0, 3)["a"]
    assert three == pytest.approx(one, abs=0.02)
    assert one < 1.0


def test_over_a_long_horizon_a_key_comes_round_to_all_it_uses() -> None:
    predictor, now = cycled("abcdefgh", 400)
    soon, later = predictor.chances(now + 1, 30.0, 3), predictor.chances(now + 1, 600.0, 3)
    assert soon.get("g", 0.0) < 0.1
    assert min(later[model] for model in "abcdefgh") > 0.9


def test_where_keys_come_once_their_silence_is_not_waited_out() -> None:
    once, returning = Predictor(), Predictor()
    for i in range(300):
        for j in range(3):
            once.observe(100.0 * i + j, f"k{i}", "a")
            returning.observe(100.0 * i + j, f"k{i % 5}", "a")
    key, again = once.keys["k299", ""], returning.keys["k4", ""]
    now = 100.0 * 299 + 500
    assert key.missed(now, 600.0, 1, once.shared)["a"] > again.missed(now, 600.0, 1, returning.shared)["a"]


def test_chances_fall_when_the_key_stays_away_longer_than_it_ever_did() -> None:
    predictor, now = cycled("ab", 60)
    soon = predictor.chances(now + 5, 30.0, 1)["a"]
    late = predictor.chances(now + 900, 30.0, 1)["a"]
    assert late < soon / 4


def test_keys_are_told_apart_where_one_chain_for_all_sees_noise() -> None:
    predictor, plain, at = Predictor(), WindowMarkov(), 1e6
    rng = random.Random(3)
    turns = {f"k{i}": 0 for i in range(6)}
    for _ in range(900):
        key = rng.choice(list(turns))
        i = int(key[1])
        model = f"m{i * 2 + turns[key] % 2}"
        turns[key] += 1
        predictor.observe(at, key, model)
        plain.observe(at, key, model)
        at += rng.uniform(1, 9)
    asked = {f"m{int(key[1]) * 2 + turn % 2}" for key, turn in turns.items()}
    chances = predictor.chances(at, 120.0, 1)
    right = [chances[m] for m in asked]
    wrong = [p for m, p in chances.items() if m not in asked]
    assert min(right) > max(wrong)
    assert max(plain.chances(at, 0.0, 1).values()) < 0.6


def test_a_hint_is_believed_over_the_past() -> None:
    predictor, now = cycled("ab", 60)
    predictor.observe(now + 10, "k", "a", [Hint(model="z")])
    chances = predictor.chances(now + 11, 30.0, 1)
    assert chances["z"] > 0.8
    assert chances.get("b", 0.0) < 0.1


def test_sessions_that_start_every_morning_are_expected_in_the_morning_after_some_weeks() -> None:
    predictor = Predictor()
    for day in range(28):
        for k in range(3):
            predictor.observe(day * DAY + 9 * 3600 + 500 * k, f"user{k}-{day}", "morning")
    day = 28 * DAY
    night = predictor.chances(day + 3 * 3600, 300.0, 1)["morning"]
    morning = predictor.chances(day + 9 * 3600, 300.0, 1)["morning"]
    assert morning > 3 * night


def test_chances_are_probabilities_and_the_same_past_gives_the_same() -> None:
    def run() -> dict[str, float]:
        predictor, rng = Predictor(), random.Random(9)
        at = 0.0
        for _ in range(2000):
            at += rng.expovariate(0.2)
            predictor.observe(at, f"k{rng.randrange(30)}", f"m{rng.randrange(12)}")
        return dict(predictor.chances(at, 60.0, 3))

    first = run()
    assert all(0.0 <= p <= 1.0 for p in first.values())
    assert first == run()


def test_chances_are_calibrated_on_traffic_like_the_past() -> None:
    """Of the models that are given 20 to 60 %, about as many come."""
    predictor, rng = Predictor(), random.Random(5)
    at, arrivals = 0.0, []
    for _ in range(9000):
        at += rng.expovariate(0.1)
        key = rng.randrange(5)
        arrivals.append((at, f"k{key}", f"m{(key + rng.choice([0, 0, 1, 2])) % 7}"))
    said = came = 0.0
    for i, (when, key, model) in enumerate(arrivals):
        predictor.observe(when, key, model)
        if i > 4000 and i % 7 == 0:
            soon = {m for t, _, m in arrivals[i + 1 : i + 40] if t <= when + 30}
            for name, p in predictor.chances(when, 30.0, 1).items():
                if 0.2 <= p <= 0.6:
                    said += p
                    came += name in soon
    assert 0.8 <= came / said <= 1.25


def test_keys_are_forgotten_in_the_order_of_their_last_use() -> None:
    predictor = Predictor()
    for i in range(MOST_KEYS + 10):
        predictor.observe(float(i), f"k{i}", "a")
    assert len(predictor.keys) == MOST_KEYS
    assert ("k0", "") not in predictor.keys
    assert (f"k{MOST_KEYS + 9}", "") in predictor.keys


def test_a_key_that_was_away_for_a_session_counts_as_a_start() -> None:
    predictor = Predictor()
    predictor.observe(0.0, "k", "a")
    predictor.observe(SESSION_S + 1, "k", "a")
    assert predictor.starts["a"].gaps.total == 1


# -- the original's rule


def test_the_original_rule_answers_from_the_last_fifty_requests() -> None:
    plain = WindowMarkov()
    for i in range(9):
        plain.observe(float(i), "k", "ab"[i % 2])
    assert plain.chances(0.0, 0.0, 1) == {}  # too few
    plain.observe(9.0, "k", "b")
    assert plain.chances(0.0, 0.0, 1) == {"a": 1.0}
    for i in range(50):
        plain.observe(float(i), "k", "cd"[i % 2])
    assert plain.chances(0.0, 0.0, 1) == {"c": 1.0}

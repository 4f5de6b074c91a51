"""Hints and workflows: who is believed, how far, and what follows for the chances."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.policy.hints import BELIEVED, FOLLOWED, MOST_STEPS, TRUST, Hint, Workflow
from scheduler.policy.prediction import Arrival, Predictor, rebuilt

RAG = Workflow(name="rag", models=("embed", "rerank", "chat"))


def asked(predictor: Predictor, models: str, key: str = "k", *, gap_s: float = 10.0) -> float:
    """One request per letter; returns the time of the last."""
    at = 0.0
    for i, name in enumerate(models):
        at = 1e6 + i * gap_s
        predictor.observe(at, key, name)
    return at


# -- what an app says


def test_what_an_app_says_is_nearly_certain_at_first() -> None:
    predictor = Predictor()
    predictor.observe(0.0, "k", "a", [Hint(model="z")])
    assert predictor.following("k") == {"z": pytest.approx(BELIEVED)}


def test_a_probability_leaves_the_rest_to_what_was_seen() -> None:
    predictor = Predictor()
    at = asked(predictor, "ab" * 50)
    predictor.observe(at + 10, "k", "a", [Hint(model="z", probability=0.5)])
    following = predictor.following("k")
    assert following["z"] == pytest.approx(0.5)
    assert following["b"] == pytest.approx(0.5, rel=0.05)


def test_an_app_that_was_wrong_is_believed_less_each_time() -> None:
    predictor = Predictor()
    beliefs = []
    for i in range(4):
        predictor.observe(10.0 * i, "k", "a", [Hint(model="z")])
        beliefs.append(predictor.following("k")["z"])
    assert beliefs[1] == pytest.approx(BELIEVED * TRUST / (TRUST + 1))
    assert beliefs == sorted(beliefs, reverse=True)


def test_the_second_model_that_an_app_names_is_kept_but_not_prefetched_yet() -> None:
    predictor = Predictor()
    at = asked(predictor, "ab" * 50)
    predictor.observe(at + 10, "k", "a", [Hint(model="y"), Hint(model="z")])
    now = at + 11
    assert predictor.chances(now, 120.0, 1).get("z", 0.0) == 0.0
    assert predictor.chances(now, 120.0, 3)["z"] > 0.8


def test_a_hint_with_a_time_says_when() -> None:
    predictor = Predictor()
    predictor.observe(0.0, "k", "a", [Hint(model="z", probability=0.8, within_s=100.0)])
    chances = predictor.chances(0.5, 50.0, 1)
    assert chances["z"] == pytest.approx(0.8 * 50 / 99.5)
    assert predictor.chances(0.5, 200.0, 1)["z"] == pytest.approx(0.8)


def test_a_hint_apart_from_a_request_counts_until_the_next_request() -> None:
    predictor = Predictor()
    at = asked(predictor, "ab" * 50)
    predictor.hint(at + 1, "k", [Hint(model="z")])
    assert predictor.following("k")["z"] > 0.9
    predictor.observe(at + 10, "k", "a")
    assert "z" not in predictor.following("k")


def test_a_hint_of_a_key_that_was_never_seen_says_nothing() -> None:
    predictor = Predictor()
    predictor.hint(0.0, "nobody", [Hint(model="z")])
    assert predictor.following("nobody") == {}


# -- workflows


def test_a_key_that_follows_a_workflow_is_expected_to_go_on() -> None:
    predictor = Predictor()
    predictor.register([RAG])
    predictor.observe(0.0, "k", "embed")
    assert predictor.following("k") == {"rerank": pytest.approx(FOLLOWED)}
    predictor.observe(1.0, "k", "rerank")
    assert predictor.following("k")["chat"] > FOLLOWED
    predictor.observe(2.0, "k", "chat")
    assert predictor.following("k") == {}


def test_a_workflow_that_is_left_is_expected_less() -> None:
    predictor = Predictor()
    predictor.register([RAG])
    for i in range(20):
        predictor.observe(10.0 * i, "k", "embed")
    predictor.observe(999.0, "other", "embed")
    assert predictor.following("other")["rerank"] < 0.3


@pytest.mark.parametrize(
    ("latest", "place"),
    [
        (("embed",), 1),
        (("chat", "embed", "rerank"), 2),
        (("embed", "rerank", "chat"), 3),
        (("embed", "chat"), 0),
        (("embed", "embed"), 1),
        ((), 0),
    ],
)
def test_the_place_in_a_workflow_is_how_far_the_latest_models_are_its_first(
    latest: tuple[str, ...], place: int
) -> None:
    assert RAG.place(latest) == place


def test_a_workflow_that_repeats_goes_on_with_its_first_model() -> None:
    rounds = Workflow(name="rounds", models=("a", "b"), repeats=True)
    assert rounds.after(2)[:2] == ("a", "b")
    assert RAG.after(3) == ()


def test_the_workflow_that_is_followed_furthest_says_what_comes() -> None:
    predictor = Predictor()
    predictor.register(
        [Workflow(name="short", models=("b", "x")), Workflow(name="long", models=("a", "b", "y"))]
    )
    asked(predictor, "ab")
    assert max(predictor.following("k"), key=predictor.following("k").__getitem__) == "y"


def test_a_workflow_of_certain_keys_says_nothing_of_others() -> None:
    predictor = Predictor()
    predictor.register([Workflow(name="w", models=("a", "b"), keys=frozenset({"k"}))])
    predictor.observe(0.0, "k", "a")
    predictor.observe(0.0, "l", "a")
    assert predictor.following("k")
    assert not predictor.following("l")


def test_an_app_s_own_word_goes_over_a_workflow() -> None:
    predictor = Predictor()
    predictor.register([RAG])
    predictor.observe(0.0, "k", "embed", [Hint(model="chat")])
    assert "rerank" not in predictor.following("k")


@pytest.mark.parametrize("models", [(), ("a",), ("a",) * (MOST_STEPS + 1)])
def test_a_workflow_too_short_or_too_long_is_refused(models: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="it needs 2 to"):
        Workflow(name="w", models=models)


@given(
    st.lists(st.sampled_from("abc"), max_size=20), st.lists(st.sampled_from("abc"), min_size=2, max_size=6)
)
def test_a_place_is_always_the_longest_beginning_that_was_followed(
    latest: list[str], models: list[str]
) -> None:
    workflow = Workflow(name="w", models=tuple(models))
    place = workflow.place(latest)
    assert place == 0 or latest[-place:] == models[:place]
    assert not any(latest[-n:] == models[:n] for n in range(place + 1, min(len(models), len(latest)) + 1))


# -- sessions


def test_sessions_of_one_key_are_told_apart_and_a_new_one_does_as_those_before() -> None:
    predictor = Predictor()
    for conversation in range(20):
        for i, name in enumerate("abcd"):
            predictor.observe(100.0 * conversation + i, "k", name, (), f"s{conversation}")
            predictor.observe(100.0 * conversation + i, "other", "dcba"[i], (), f"t{conversation}")
    predictor.observe(5000.0, "k", "b", (), "new")
    predictor.observe(5000.0, "other", "b", (), "new")
    assert predictor.following("k", "new")["c"] > 0.9
    assert predictor.following("other", "new")["a"] > 0.9


# -- after a restart


def test_the_same_past_gives_the_same_chances() -> None:
    past = [
        Arrival(at=7.0 * i, key=f"k{i % 3}", model="abcde"[i * i % 5], session=f"s{i // 60}")
        for i in range(900)
    ]
    live = Predictor()
    live.register([RAG])
    for arrival in past:
        live.observe(arrival.at, arrival.key, arrival.model, arrival.said, arrival.session)
    again = rebuilt(past, [RAG])
    assert again.chances(6300.0, 60.0, 3) == live.chances(6300.0, 60.0, 3)
    assert again.chances(6300.0, 60.0, 3)

"""Generated workloads: one seed, one trace, and the shape that was asked for."""

from __future__ import annotations

import itertools

import pytest

from scheduler.replay.synthetic import WORKLOADS, pipelines, switching


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_a_seed_gives_the_same_trace_again_and_another_seed_another(name: str) -> None:
    make = WORKLOADS[name]
    assert make(1) == make(1)
    assert make(1) != make(2)
    assert make(1).times == sorted(make(1).times)


def test_the_switching_caller_goes_to_the_next_model_four_times_in_five() -> None:
    models = switching(5).models
    onward = sum((b - a) % 6 == 1 for a, b in itertools.pairwise(models)) / len(models)
    assert 0.80 <= onward <= 0.84  # one in sixty comes there by the random draw


def test_each_app_of_the_pipelines_keeps_to_its_own_models() -> None:
    trace = pipelines(3)
    used = {
        key: {m for k, m in zip(trace.keys, trace.models, strict=True) if k == key} for key in set(trace.keys)
    }
    assert len(used) == 10
    assert all(1 <= len(models) <= 4 for models in used.values())

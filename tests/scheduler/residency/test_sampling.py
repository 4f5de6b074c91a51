"""The samples that reports read: one a minute and node, with pins, room and what it is good for."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.models import NodeSample
from scheduler.policy.config import GB
from scheduler.policy.state import Pin, State
from scheduler.residency.rows import Reading, watts_of
from scheduler.residency.sampling import Beside, Sampling, samples
from tests.scheduler.policy.cast import EXACT, NOW, line, model, node, resident, state

SMALL, LARGE, OTHER = model("small", 10), model("large", 40), model("other", 4)


def sampled(of: State, **beside: Any) -> dict[str, Any]:
    given = {"teams": {}, "readings": {}, "demanded": (), **beside}
    (sample,) = samples(of, NOW, EXACT, Beside(**given))
    return dict(sample.columns)


def fleet(**parts: Any) -> State:
    return state([node()], [SMALL, LARGE, OTHER], [resident(SMALL, in_flight=2)], **parts)


def test_free_vram_is_stranded_where_the_line_that_waits_needs_more() -> None:
    told = sampled(fleet(lines=[line("large", waiting=3)]))
    assert (told["used_bytes"], told["free_bytes"], told["stranded_bytes"]) == (10 * GB, 38 * GB, 38 * GB)
    assert (told["wanted"], told["waiting"], told["in_flight"]) == ("large", 3, 2)


def test_without_a_line_the_most_demanded_model_that_is_not_there_counts() -> None:
    told = sampled(fleet(), demanded=("small", "other", "large"))
    assert (told["wanted"], told["stranded_bytes"]) == ("other", 0)
    assert sampled(fleet())["wanted"] == ""


def test_a_resident_is_told_with_the_policy_that_keeps_it_and_who_pays() -> None:
    pins = [Pin(model="small", name="day shift")]
    (told,) = sampled(fleet(pins=pins), teams={"day shift": "red"})["residents"]
    assert (told["model"], told["pin"], told["team"]) == ("small", "day shift", "red")
    assert (told["num_ctx"], told["slots"], told["bytes"]) == (8192, 4, 10 * GB)
    (free,) = sampled(fleet())["residents"]
    assert (free["pin"], free["team"]) == ("", "")


def test_a_node_that_does_not_answer_is_sampled_as_down() -> None:
    told = sampled(state([node(healthy=False)], [SMALL], [resident(SMALL)]))
    assert (told["up"], told["residents"], told["used_bytes"]) == (False, [], 0)


def test_power_is_what_all_gpus_draw_or_unknown() -> None:
    assert watts_of([{"power_w": 120.5}, {"power_w": 30}]) == 150.5
    assert watts_of([{"power_w": 120.5}, {}]) is None
    readings = {"n1": Reading(free_bytes=0, at=NOW, watts=99.0)}
    assert sampled(fleet(), readings=readings)["watts"] == 99.0


def test_samples_are_due_at_the_turn_of_each_minute() -> None:
    sampling = Sampling()
    assert [sampling.due(at) for at in (50.0, 59.9, 60.0, 61.0, 119.0, 200.0)] == [
        *(True, False, True, False, False, True)
    ]


@pytest.mark.django_db
def test_a_sample_that_is_written_twice_is_one_row() -> None:
    (sample,) = samples(fleet(), NOW, EXACT, Beside(teams={}, readings={}, demanded=()))
    sample.write()
    sample.write()
    assert NodeSample.objects.get().residents[0]["model"] == "small"

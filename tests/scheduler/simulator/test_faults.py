"""Each fault, seen over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from scheduler.simulator.faults import KINDS, BadFault, Switchboard, fault_of, parse_fault
from scheduler.simulator.process import NodeFailed, NodeProcess
from tests.scheduler.simulator.conftest import SharedNode

BUSY = "server busy, please try again.  maximum pending requests exceeded"


def body(model: str = "a", stream: bool = True, **options: Any) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": "one two"}],
        "stream": stream,
        "options": {"num_predict": 5, **options},
    }


def chat(node: NodeProcess, model: str = "a", **kwargs: Any) -> httpx.Response:
    return httpx.post(f"{node.url}/api/chat", json=body(model, **kwargs), timeout=5)


def lines_until_error(node: NodeProcess, error: type[Exception]) -> list[str]:
    """The lines of a stream that breaks with `error`."""
    lines: list[str] = []
    with (
        pytest.raises(error),
        httpx.stream("POST", f"{node.url}/api/chat", json=body(), timeout=1) as answer,
    ):
        lines.extend(answer.iter_lines())
    return lines


@pytest.fixture
def node(shared_node: SharedNode) -> NodeProcess:
    return shared_node("a=2,b=2", context_length=4096)


def until(condition: Callable[[], bool]) -> None:
    """Poll the node until it has got there; the test's own time limit ends a wait that is in vain."""
    while not condition():
        pass


def test_a_cut_stream_breaks_off_in_the_middle_of_the_body(node: NodeProcess) -> None:
    node.arm("cut_mid_stream", after=2)
    assert len(lines_until_error(node, httpx.RemoteProtocolError)) == 2


def test_an_eof_without_done_is_a_well_formed_body_that_lacks_its_end(node: NodeProcess) -> None:
    node.arm("eof_without_done", after=3)
    lines = [json.loads(line) for line in chat(node).text.splitlines()]
    assert [line["done"] for line in lines] == [False] * 3


def test_an_error_in_mid_stream_is_a_line_under_200(node: NodeProcess) -> None:
    node.arm("error_mid_stream", after=1)
    answer = chat(node)
    *_, last = answer.text.splitlines()
    assert answer.status_code == 200
    assert json.loads(last)["error"].startswith("model runner has unexpectedly stopped")


def test_an_error_before_the_first_chunk_has_its_status(node: NodeProcess) -> None:
    node.arm("error_mid_stream", after=0)
    answer = chat(node)
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("application/json")


def test_a_garbage_line_comes_between_good_ones(node: NodeProcess) -> None:
    node.arm("garbage_line", after=2)
    lines = chat(node).text.splitlines()
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[2])
    assert json.loads(lines[-1])["done"] is True


def test_a_huge_line_has_the_size_that_was_asked_for(node: NodeProcess) -> None:
    node.arm("huge_line", value=100_000)
    assert max(len(line) for line in chat(node).text.splitlines()) == 100_000


def test_a_hanging_generation_holds_its_slot_until_its_client_leaves(node: NodeProcess) -> None:
    node.arm("hang", after=2, count=1)
    assert len(lines_until_error(node, httpx.ReadTimeout)) == 2
    until(lambda: node.state()["in_flight"] == 0)
    assert node.report()["cancelled_running"] == 1
    assert chat(node).status_code == 200


def test_a_busy_node_answers_503_without_retry_after(node: NodeProcess) -> None:
    node.arm("busy_503", count=1)
    answer = chat(node)
    assert (answer.status_code, answer.json()) == (503, {"error": BUSY})
    assert "retry-after" not in answer.headers
    assert chat(node).status_code == 200


def test_a_slow_drip_takes_its_time_for_each_token(node: NodeProcess) -> None:
    chat(node)
    node.arm("slow_drip", value=0.05)
    last = json.loads(chat(node).text.splitlines()[-1])
    assert last["eval_duration"] >= 5 * 0.04e9


def test_latency_comes_before_the_first_byte(node: NodeProcess) -> None:
    node.arm("latency", value=0.2)
    assert chat(node).elapsed.total_seconds() >= 0.2


def test_an_oom_at_load_is_a_500(node: NodeProcess) -> None:
    node.arm("oom_at_load")
    answer = chat(node)
    assert answer.status_code == 500
    assert answer.json()["error"] == "llama-server process has terminated: cudaMalloc failed: out of memory"
    assert node.report()["loads_total"] == 0


def test_an_oom_while_running_empties_the_node(node: NodeProcess) -> None:
    chat(node, "b")
    node.arm("oom_running", "a", count=1)
    *_, last = chat(node, "a").text.splitlines()
    assert "out of memory" in json.loads(last)["error"]
    until(lambda: not httpx.get(f"{node.url}/api/ps").json()["models"])
    assert chat(node, "a").status_code == 200


def test_a_crashed_runner_is_reloaded_by_the_next_request(node: NodeProcess) -> None:
    node.arm("runner_crash", count=1)
    chat(node)
    assert json.loads(chat(node).text.splitlines()[-1])["done"] is True
    assert [entry["cause"] for entry in node.report()["reloads"]] == ["ping"]


def test_a_wedged_node_hangs_on_loads_while_tags_and_hot_models_stay_green(node: NodeProcess) -> None:
    chat(node, "a")
    node.arm("wedge")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{node.url}/api/generate", json={"model": "b"}, timeout=0.3)
    assert httpx.get(f"{node.url}/api/tags").status_code == 200
    assert chat(node, "a").status_code == 200
    until(lambda: node.report()["aborted_loads_total"] == 1)
    node.disarm()
    assert chat(node, "b").status_code == 200


def test_slow_loads_take_their_factor(shared_node: SharedNode) -> None:
    node = shared_node("a=2", load_fixed=0.05, fault=["slow_load:a:1:4"])
    chat(node)
    assert node.report()["loads"][0]["seconds"] == pytest.approx(4 * 0.07)


def test_a_stuck_runner_stays_listed_and_lets_nobody_in(shared_node: SharedNode) -> None:
    node = shared_node("a=2,b=2", max_loaded=1)
    chat(node, "a")
    node.arm("stuck_stopping")
    httpx.post(f"{node.url}/api/generate", json={"model": "a", "keep_alive": 0})
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{node.url}/api/generate", json={"model": "b"}, timeout=0.3)
    assert [m["name"] for m in httpx.get(f"{node.url}/api/ps").json()["models"]] == ["a:latest"]
    node.disarm()
    assert chat(node, "b").status_code == 200


def test_death_ends_the_process_in_mid_stream(node: NodeProcess) -> None:
    node.arm("death", after=1)
    lines_until_error(node, httpx.RemoteProtocolError)
    assert node.wait() == 137


def test_a_fault_of_one_model_spares_the_others_and_counts_down(node: NodeProcess) -> None:
    node.arm("error_mid_stream", "a", count=1)
    assert "error" not in chat(node, "b").text
    assert "error" in chat(node, "a").text
    assert "error" not in chat(node, "a").text
    assert httpx.get(f"{node.url}/_sim/faults").json() == []


def test_faults_hit_answers_without_stream_too(node: NodeProcess) -> None:
    for kind, status in (("error_mid_stream", 500), ("oom_running", 500), ("garbage_line", 200)):
        node.arm(kind, count=1)
        assert chat(node, stream=False).status_code == status, kind
    node.arm("cut_mid_stream", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        chat(node, stream=False)


def test_embedding_requests_meet_faults_too(shared_node: SharedNode) -> None:
    node = shared_node("nomic-embed-text=0.27")

    def embed() -> httpx.Response:
        asked = {"model": "nomic-embed-text", "input": "x"}
        return httpx.post(f"{node.url}/api/embed", json=asked, timeout=0.5)

    node.arm("busy_503", count=1)
    assert embed().status_code == 503
    node.arm("oom_running", count=1)
    assert embed().status_code == 400  # as Ollama answers in this handler
    node.arm("hang", count=1)
    with pytest.raises(httpx.ReadTimeout):
        embed()
    until(lambda: node.state()["in_flight"] == 0)
    assert embed().status_code == 200


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ([{"kind": "flood"}], "'flood' is no fault"),
        ([{"kind": "hang", "colour": 1}], "a fault has no colour"),
        ([{"kind": "hang", "count": "x"}], "whole numbers"),
        ("hang", "no faults were armed"),
        ([1], "no faults were armed"),
        ([{"kind": "hang"}] * 1001, "more than 1000 faults"),
    ],
)
def test_a_fault_that_cannot_be_read_is_refused(node: NodeProcess, given: object, complaint: str) -> None:
    answer = httpx.post(f"{node.url}/_sim/faults", json=given)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hang", {"kind": "hang", "model": "", "count": None}),
        ("hang:llama3.2", {"model": "llama3.2", "count": None}),
        ("hang:llama3.2:1b", {"model": "llama3.2:1b", "count": None}),
        ("hang:llama3.2:1b:2", {"model": "llama3.2:1b", "count": 2}),
        ("slow_load:a:3:2.5", {"model": "a", "count": 3, "value": 2.5}),
        ("slow_load:a::2.5", {"model": "a", "count": None, "value": 2.5}),
        ("slow_load::2", {"model": "", "count": 2, "value": 10.0}),
    ],
)
def test_faults_are_read_from_the_command_line(text: str, expected: dict[str, object]) -> None:
    assert parse_fault(text).as_json().items() >= expected.items()


def test_a_bad_fault_on_the_command_line_ends_the_start() -> None:
    with pytest.raises(BadFault):
        parse_fault("flood")
    with pytest.raises(NodeFailed):
        NodeProcess("a=2", fault=["flood"])


def test_every_kind_can_be_armed() -> None:
    board = Switchboard(fault_of({"kind": kind}) for kind in KINDS)
    assert len(board.faults) == len(KINDS)

"""What the fake node does beyond the contract: tools, thinking, schemas, pulls, cloud names, reports."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest

from scheduler.simulator.process import NodeProcess
from tests.scheduler.simulator.conftest import SharedNode

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
            "required": ["city", "days"],
        },
    },
}


def ask(node: NodeProcess, content: str = "one two", **fields: Any) -> dict[str, Any]:
    body = {
        "model": "qwen3:8b",
        "stream": False,
        "messages": [{"role": "user", "content": content}],
        **fields,
    }
    answer: dict[str, Any] = httpx.post(f"{node.url}/api/chat", json=body).json()
    return answer


@pytest.fixture
def node(shared_node: SharedNode) -> NodeProcess:
    return shared_node("qwen3:8b=5.2,llama3.2=2,lfm2=2,llava=4,nomic-embed-text=0.27")


def test_an_answer_is_made_of_the_prompts_words(node: NodeProcess) -> None:
    answer = ask(node, "red green", think=False, options={"num_predict": 3})
    assert answer["message"]["content"] == "red green red"
    assert (answer["eval_count"], answer["done_reason"]) == (3, "length")


def test_an_answer_without_num_predict_stops_by_itself(node: NodeProcess) -> None:
    answer = ask(node, think=False)
    assert (answer["eval_count"], answer["done_reason"]) == (24, "stop")


def test_a_stop_text_ends_the_answer_before_it(node: NodeProcess) -> None:
    answer = ask(node, "red green blue", think=False, options={"stop": [" blue"], "num_predict": 9})
    assert (answer["message"]["content"], answer["done_reason"]) == ("red green", "stop")


def test_num_predict_0_is_a_trap(shared_node: SharedNode) -> None:
    node = shared_node("llama3.2=2", context_length=64)
    answer = ask(node, model="llama3.2", options={"num_predict": 0})
    assert (answer["eval_count"], answer["done_reason"]) == (640, "length")


def test_a_thinking_model_thinks_unless_told_not_to(node: NodeProcess) -> None:
    assert ask(node)["message"]["thinking"].startswith("Let me think")
    assert "thinking" not in ask(node, think=False)["message"]
    assert "thinking" in ask(node, think="low")["message"]


def test_thinking_is_streamed_before_the_content(node: NodeProcess) -> None:
    body = {"model": "qwen3:8b", "messages": [{"role": "user", "content": "hi"}]}
    lines = httpx.post(f"{node.url}/api/chat", json=body).text.splitlines()
    kinds = ["thinking" in json.loads(line)["message"] for line in lines]
    assert kinds == sorted(kinds, reverse=True)
    assert any(kinds)


def test_a_tool_that_the_user_names_is_called_with_valid_arguments(node: NodeProcess) -> None:
    answer = ask(node, "call get_weather please", tools=[WEATHER], think=False)
    (call,) = answer["message"]["tool_calls"]
    assert call["function"] == {"index": 0, "name": "get_weather", "arguments": {"city": "word", "days": 3}}
    assert call["id"].startswith("call_")


def test_a_tool_that_nobody_names_is_not_called(node: NodeProcess) -> None:
    assert "tool_calls" not in ask(node, "hello", tools=[WEATHER])["message"]


def test_a_schema_is_obeyed(node: NodeProcess) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 6},
            "kind": {"enum": ["x", "y"]},
            "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}, "minItems": 2},
        },
        "required": ["name", "kind", "parts"],
        "$defs": {"part": {"type": "object", "properties": {"n": {"type": "number", "exclusiveMinimum": 4}}}},
    }
    import jsonschema

    value = json.loads(ask(node, format=schema)["message"]["content"])
    jsonschema.validate(value, schema)


def test_format_json_gives_json(node: NodeProcess) -> None:
    assert isinstance(json.loads(ask(node, format="json")["message"]["content"]), dict)


def test_images_cost_tokens_and_need_a_model_that_sees(node: NodeProcess) -> None:
    message = {"role": "user", "content": "what is it", "images": ["aGk="]}
    seen = ask(node, model="llava", messages=[message])
    assert seen["prompt_eval_count"] > 768
    assert "error" in ask(node, model="llama3.2", messages=[message])


def test_an_embedding_model_neither_chats_nor_generates(node: NodeProcess) -> None:
    assert ask(node, model="nomic-embed-text") == {"error": '"nomic-embed-text" does not support chat'}
    body = {"model": "nomic-embed-text", "prompt": "x"}
    assert httpx.post(f"{node.url}/api/generate", json=body).json() == {
        "error": '"nomic-embed-text" does not support generate'
    }


def test_head_counts_of_each_layer_are_null_without_verbose(node: NodeProcess) -> None:
    def heads(**fields: Any) -> object:
        shown = httpx.post(f"{node.url}/api/show", json={"model": "lfm2", **fields}).json()
        return shown["model_info"]["lfm2.attention.head_count_kv"]

    assert heads() is None
    assert heads(verbose=True) == [0, 0, 8] * 9 + [0]


def test_a_repeated_prefix_is_quicker_and_told_since_0331(shared_node: SharedNode) -> None:
    for version, told in (("0.33.1", True), ("0.32.15", False)):
        node = shared_node("llama3.2=2", ollama_version=version, prefill_tps=20_000)
        long = [{"role": "system", "content": "rule " * 2000}, {"role": "user", "content": "hi"}]
        first, second = (ask(node, model="llama3.2", messages=long) for _ in range(2))
        assert second["prompt_eval_count"] == first["prompt_eval_count"]
        assert second["prompt_eval_duration"] < first["prompt_eval_duration"] / 10
        assert ("prompt_eval_cached_count" in second) is told


def test_a_pull_streams_its_progress_and_installs_the_model(shared_node: SharedNode) -> None:
    node = shared_node("llama3.2=2", registry="mistral=4", pull_gbps=1000)
    answer = httpx.post(f"{node.url}/api/pull", json={"model": "mistral"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0] == {"status": "pulling manifest"}
    assert lines[-1] == {"status": "success"}
    assert lines[-4]["completed"] == lines[-4]["total"] == 4_000_000_000
    names = [model["name"] for model in httpx.get(f"{node.url}/api/tags").json()["models"]]
    assert "mistral:latest" in names


def test_a_pull_of_nothing_is_an_error_line_under_200(node: NodeProcess) -> None:
    answer = httpx.post(f"{node.url}/api/pull", json={"model": "nothing-here"})
    assert answer.status_code == 200
    assert json.loads(answer.text.splitlines()[-1]) == {"error": "pull model manifest: file does not exist"}
    whole = httpx.post(f"{node.url}/api/pull", json={"model": "nothing-here", "stream": False})
    assert whole.status_code == 500


def test_a_push_ends_with_success(node: NodeProcess) -> None:
    answer = httpx.post(f"{node.url}/api/push", json={"model": "llama3.2"})
    assert json.loads(answer.text.splitlines()[-1]) == {"status": "success"}


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "gpt-oss:cloud", "x:20b:cloud"])
def test_a_cloud_name_is_counted_as_forwarded_or_refused(shared_node: SharedNode, name: str) -> None:
    open_node, closed = shared_node("llama3.2=2"), shared_node("llama3.2=2", no_cloud=True)
    assert "unauthorized" in ask(open_node, model=name)["error"]
    assert open_node.report()["http"]["cloud_forwards"] == 1
    assert ask(closed, model=name) == {"error": "ollama cloud is disabled: remote model is unavailable"}
    assert closed.report()["http"]["cloud_forwards"] == 0


def test_the_report_tells_what_the_node_saw_and_can_start_anew(node: NodeProcess) -> None:
    httpx.post(
        f"{node.url}/api/generate",
        json={"model": "llama3.2", "prompt": "x", "options": {"num_ctx": 512}},
        headers={"Authorization": "Bearer secret"},
    )
    report = node.report()
    assert (report["requests"], report["completed"], report["loads_total"]) == (1, 1, 1)
    assert report["loads"][0]["num_ctx"] == 512
    assert report["peak_in_flight"] == {"llama3.2:latest": 1}
    assert report["http"]["with_authorization"] == 1
    assert report["http"]["routes"]["POST /api/generate"] == 1
    node.reset()
    assert node.report()["requests"] == 0
    assert [resident["model"] for resident in node.state()["residents"]] == ["llama3.2:latest"]


def test_tokens_come_at_the_stated_pace(shared_node: SharedNode) -> None:
    node = shared_node("llama3.2=2", tps=100)
    answer = ask(node, model="llama3.2", options={"num_predict": 10})
    assert 0.09e9 <= answer["eval_duration"] <= 0.5e9


def test_a_time_scale_makes_the_nodes_seconds_pass_quicker(shared_node: SharedNode) -> None:
    node = shared_node("llama3.2=2", tps=10, time_scale=100)
    answer = ask(node, model="llama3.2", options={"num_predict": 20})
    assert answer["eval_duration"] >= 2e9


def test_an_old_node_tells_neither_capabilities_nor_context_in_tags(shared_node: SharedNode) -> None:
    for version, told in (("0.24.0", False), ("0.32.15", True)):
        node = shared_node("llama3.2=2", ollama_version=version)
        (model,) = httpx.get(f"{node.url}/api/tags").json()["models"]
        assert ("capabilities" in model) is told
        assert ("context_length" in model["details"]) is told


def test_a_message_with_angle_brackets_is_escaped_as_go_does(node: NodeProcess) -> None:
    body = {"model": "llama3.2", "stream": False, "messages": [{"role": "user", "content": "<b> & co"}]}
    raw = httpx.post(f"{node.url}/api/chat", json=body).content
    assert b"\\u003cb\\u003e \\u0026 co" in raw
    assert json.loads(raw)["message"]["content"].startswith("<b> & co")


def test_the_management_command_has_the_same_flags() -> None:
    shown = subprocess.run(
        [sys.executable, "manage.py", "simulate_ollama", "--help"], capture_output=True, text=True, check=True
    )
    assert "--load-gbps" in shown.stdout


def test_a_node_ends_when_its_parent_closes_the_pipe() -> None:
    command = [sys.executable, "-m", "scheduler.simulator", "--port", "0", "--until-stdin-closes"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b"listening on http://127.0.0.1:")
        child.stdin.close()
        assert child.wait(10) == 0

"""Chat and generate: framing, end marks, metrics, load and unload."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest

from tests.contract.conftest import NodeUnderContract

pytestmark = pytest.mark.contract
JSON = "application/json; charset=utf-8"
METRICS = {"total_duration", "load_duration", "prompt_eval_count", "eval_count", "eval_duration"}


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.split("\n")[:-1]]


def test_a_chat_streams_by_default_and_ends_with_done(node: NodeUnderContract) -> None:
    chunks = lines(node.chat())
    assert all(chunk["model"] == node.model for chunk in chunks)
    assert all(chunk["message"]["role"] == "assistant" for chunk in chunks)
    assert [chunk["done"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert "done_reason" not in chunks[0]
    assert chunks[-1]["done_reason"] in ("stop", "length")


def test_metrics_are_whole_numbers_on_the_last_line_only(node: NodeUnderContract) -> None:
    *before, last = lines(node.chat())
    assert last.keys() >= METRICS
    assert all(isinstance(last[name], int) for name in METRICS)
    assert not any(METRICS & chunk.keys() for chunk in before)
    parts = last["load_duration"] + last.get("prompt_eval_duration", 0) + last["eval_duration"]
    assert parts <= last["total_duration"] * 1.2


def test_num_predict_bounds_the_answer(node: NodeUnderContract) -> None:
    last = lines(node.chat("Count to one thousand", options={"num_predict": 3}))[-1]
    assert last["eval_count"] <= 3
    if last["eval_count"] == 3:
        assert last["done_reason"] in ("length", "stop")


def test_a_chat_without_stream_is_one_json_object(node: NodeUnderContract) -> None:
    answer = node.chat(stream=False)
    assert answer.headers["content-type"] == JSON
    whole = answer.json()
    assert whole["done"] is True
    assert whole["message"]["role"] == "assistant"
    assert whole.keys() >= METRICS


def test_generate_streams_responses_and_gives_its_context(node: NodeUnderContract) -> None:
    *before, last = lines(node.generate())
    assert all(isinstance(chunk["response"], str) for chunk in before)
    assert last["done"] is True
    assert all(isinstance(token, int) for token in last["context"])
    assert len(last["context"]) >= last["eval_count"]


def test_generate_in_raw_mode_gives_no_context(node: NodeUnderContract) -> None:
    assert "context" not in node.generate(raw=True, stream=False).json()


def test_generate_without_stream_is_one_json_object(node: NodeUnderContract) -> None:
    whole = node.generate(stream=False).json()
    assert whole["done"] is True
    assert isinstance(whole["response"], str)


@pytest.mark.parametrize(("path", "body"), [("/api/generate", {}), ("/api/chat", {"messages": []})])
def test_an_empty_prompt_loads_and_is_one_json_object_even_when_streaming(
    node: NodeUnderContract, path: str, body: dict[str, Any]
) -> None:
    answer = node.post(path, {"model": node.model, "stream": True, **body})
    assert answer.headers["content-type"] == JSON
    loaded = answer.json()
    assert (loaded["done"], loaded["done_reason"]) == (True, "load")
    assert not METRICS & loaded.keys()
    assert node.resident() is not None


@pytest.mark.parametrize(("path", "body"), [("/api/generate", {}), ("/api/chat", {"messages": []})])
def test_an_empty_prompt_with_keep_alive_0_unloads(
    node: NodeUnderContract, path: str, body: dict[str, Any]
) -> None:
    node.load()
    answer = node.post(path, {"model": node.model, "keep_alive": 0, **body})
    assert (answer.json()["done"], answer.json()["done_reason"]) == (True, "unload")
    assert node.unload().json()["done_reason"] == "unload"  # also when it is not loaded any more
    assert node.resident() is None


def test_keep_alive_0_with_a_prompt_unloads_after_the_answer(node: NodeUnderContract) -> None:
    assert node.generate(keep_alive=0, stream=False).json()["done_reason"] in ("stop", "length")
    node.unload()


def test_another_context_reloads(node: NodeUnderContract) -> None:
    for num_ctx in (512, 1024, 512):
        node.load(options={"num_ctx": num_ctx})
        resident = node.resident()
        assert resident is not None
        assert resident["context_length"] == num_ctx


def test_sampling_options_do_not_reload(node: NodeUnderContract) -> None:
    node.load(options={"num_ctx": 512})
    again = node.generate(stream=False, options={"num_ctx": 512, "temperature": 0.1, "seed": 3, "top_k": 2})
    assert again.json()["load_duration"] < 1e9


def test_logprobs_come_with_each_token(node: NodeUnderContract) -> None:
    *before, _ = lines(node.chat(logprobs=True, top_logprobs=2))
    entries = [entry for chunk in before for entry in chunk.get("logprobs", [])]
    assert entries
    assert entries[0].keys() >= {"token", "logprob", "top_logprobs"}
    assert len(entries[0]["top_logprobs"]) == 2


def test_the_duration_of_a_single_token_is_left_out(node: NodeUnderContract) -> None:
    answer = node.chat(stream=False, options={"num_predict": 1}).json()
    assert answer["eval_count"] == 1
    assert "eval_duration" not in answer


def test_the_prompt_can_be_seen_instead_of_an_answer(node: NodeUnderContract) -> None:
    answer = node.generate("look at this", _debug_render_only=True)
    assert answer.headers["content-type"] == JSON
    seen = answer.json()
    assert "look at this" in seen["_debug_info"]["rendered_template"]
    assert (seen["response"], seen["done"]) == ("", False)


def test_a_prompt_over_the_context_is_cut_and_counted_near_the_context(node: NodeUnderContract) -> None:
    options = {"num_ctx": 512, "num_predict": 1}
    answer = node.generate("one two " * 2000, stream=False, options=options).json()
    assert 200 <= answer["prompt_eval_count"] <= 512
    assert len(answer["context"]) > 2000


def test_the_oldest_messages_go_first(node: NodeUnderContract) -> None:
    messages = [{"role": role, "content": "one two " * 60} for role in ("user", "assistant") * 8]
    options = {"num_ctx": 512, "num_predict": 1}
    answer = node.chat(
        messages=[*messages, {"role": "user", "content": "last"}], stream=False, options=options
    )
    assert answer.json()["prompt_eval_count"] <= 512


def test_a_client_that_leaves_in_mid_stream_frees_the_node(node: NodeUnderContract) -> None:
    body = {
        "model": node.model,
        "messages": [{"role": "user", "content": "Tell a long story"}],
        "options": {"num_predict": 400},
    }
    with node.client.stream("POST", "/api/chat", json=body) as answer:
        next(answer.iter_lines())
    assert node.chat(stream=False).json()["done"] is True


def test_a_system_prompt_counts_as_prompt(node: NodeUnderContract) -> None:
    short = node.generate(stream=False, system="Be brief").json()["prompt_eval_count"]
    long = node.generate(stream=False, system="Be brief and precise " * 20).json()["prompt_eval_count"]
    assert long > short + 20


def test_embeddings_are_unit_vectors(node: NodeUnderContract) -> None:
    answer = node.post("/api/embed", {"model": node.model, "input": ["one", "two"]}).json()
    assert answer["model"] == node.model
    assert len(answer["embeddings"]) == 2
    assert all(math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-3) for vector in answer["embeddings"])
    assert answer["prompt_eval_count"] >= 2
    assert answer["total_duration"] > 0


def test_dimensions_cut_an_embedding_and_keep_it_a_unit_vector(node: NodeUnderContract) -> None:
    answer = node.post("/api/embed", {"model": node.model, "input": "one", "dimensions": 8}).json()
    assert len(answer["embeddings"][0]) == 8
    assert math.isclose(math.hypot(*answer["embeddings"][0]), 1.0, abs_tol=1e-3)


def test_an_embed_without_input_loads(node: NodeUnderContract) -> None:
    assert node.post("/api/embed", {"model": node.model}).json() == {"model": node.model, "embeddings": []}


def test_the_older_embeddings_route_gives_one_vector(node: NodeUnderContract) -> None:
    answer = node.post("/api/embeddings", {"model": node.model, "prompt": "one"}).json()
    assert answer.keys() == {"embedding"}
    assert len(answer["embedding"]) > 8

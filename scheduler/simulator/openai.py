"""The node's own /v1 routes, in the plain form that peers and benches use, with their quirks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from scheduler.simulator.answer import logprobs_of
from scheduler.simulator.completion import Job, serve
from scheduler.simulator.decode import BadRequest, Body, decode
from scheduler.simulator.errors import not_found
from scheduler.simulator.events import Request
from scheduler.simulator.exchange import PLAIN_JSON, SSE, Exchange, go_json
from scheduler.simulator.framing import Outcome, tool_calls
from scheduler.simulator.installed import InstalledModel
from scheduler.simulator.native import plan
from scheduler.simulator.prompts import chat_prompt, last_text
from scheduler.simulator.reading import require, require_capabilities
from scheduler.simulator.simulator import CloudRefusal, Simulator

_IDS = 999  # Ollama draws its ids from so few that they are not unique
_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


def error_body(status: int, text: str) -> bytes:
    kind = _TYPES.get(status, "api_error")
    return go_json({"error": {"message": text, "type": kind, "param": None, "code": None}})


async def chat_completions(sim: Simulator, exchange: Exchange) -> None:
    arrived_at = sim.driver.now()
    body = decode(await exchange.body(), "ChatCompletionRequest")
    if not body.get("messages"):
        raise BadRequest(400, "[] is too short - 'messages'")
    messages = [_native_message(message) for message in body["messages"]]
    try:
        model = _model_for(sim, body)
    except BadRequest as refusal:
        raise (
            refusal if isinstance(refusal, CloudRefusal) else Relayed(refusal.status, refusal.text)
        ) from None
    think = "thinking" in model.capabilities and body.get("reasoning_effort") != "none"
    request = Request(
        id=sim.driver.new_id(),
        model=model.name,
        prompt=chat_prompt(sim, model, messages, body.get("tools"), think),
    )
    num_predict = body.get("max_tokens", -1)  # max_completion_tokens is ignored, as by Ollama
    native = {"tools": body.get("tools", ()), "format": _format(body)}
    answer = plan(sim, {"num_predict": num_predict}, last_text(messages), native, think=think)
    stops = body.get("stop", ())
    job = Job(
        request=request,
        answer=answer,
        framing=ChatCompletionFraming(body, request.id),
        num_predict=num_predict,
        stops=[stops] if isinstance(stops, str) else stops,
        arrived_at=arrived_at,
    )
    await serve(sim, exchange, job)


class Relayed(BadRequest):
    """An error of the native handler, passed on by the layer that speaks OpenAI: it has no charset."""

    content_type = PLAIN_JSON


def _model_for(sim: Simulator, body: Body) -> InstalledModel:
    name = sim.local_name(body.get("model", ""), BadRequest(400, "model is required"))
    model = require(sim, name)
    require_capabilities(model, ("completion",), f'"{body["model"]}" does not support chat')
    return model


def _native_message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content") or ""
    if isinstance(content, list):
        content = " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return {**message, "content": content}


def _format(body: Body) -> object:
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return wanted.get("json_schema", {}).get("schema")
    return "json" if wanted.get("type") == "json_object" else None


class ChatCompletionFraming:
    """SSE chunks of /v1/chat/completions. An error in mid-stream is lost, as with Ollama."""

    stream_type = SSE
    json_type = PLAIN_JSON

    def __init__(self, body: Body, number: int) -> None:
        self.stream: bool = bool(body.get("stream"))
        self._usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self._logprobs = bool(body.get("logprobs"))
        self._envelope = {
            "id": f"chatcmpl-{number % _IDS}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": body["model"],
            "system_fingerprint": "fp_ollama",
        }

    def piece(self, text: str, *, thinking: bool) -> bytes:
        said = {"content": "", "reasoning": text} if thinking else {"content": text}
        extra = {"logprobs": {"content": logprobs_of(text, 0)}} if self._logprobs else {}
        return self._chunk({"role": "assistant", **said}, None, extra)

    def tools(self, calls: Sequence[Mapping[str, Any]]) -> bytes:
        return self._chunk({"role": "assistant", "content": "", "tool_calls": _calls(calls)}, None, {})

    def last(self, outcome: Outcome) -> bytes:
        end = self._chunk({"role": "assistant", "content": ""}, _finish_reason(outcome), {})
        if self._usage:
            end += _event({**self._envelope, "choices": [], "usage": _usage(outcome)})
        return end + b"data: [DONE]\n\n"

    def whole(self, outcome: Outcome) -> bytes:
        answer = outcome.answer
        message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.content)}
        if answer.thinking:
            message["reasoning"] = "".join(answer.thinking)
        if answer.tool_calls:
            message["tool_calls"] = _calls(answer.tool_calls)
        choice = {"index": 0, "message": message, "finish_reason": _finish_reason(outcome)}
        if self._logprobs:
            choice["logprobs"] = {"content": [e for piece in answer.content for e in logprobs_of(piece, 0)]}
        whole = {**self._envelope, "object": "chat.completion", "choices": [choice]}
        return go_json({**whole, "usage": _usage(outcome)})

    def failed(self, text: str) -> bytes:
        choice = {"index": 0, "delta": {"role": "", "content": ""}, "finish_reason": None}
        return _event({**self._envelope, "model": "", "choices": [choice]})

    def error(self, status: int, text: str) -> bytes:
        return error_body(status, text)

    def answered(self, reason: str) -> bytes:
        raise AssertionError("this route neither loads nor unloads")

    def _chunk(self, delta: Mapping[str, Any], reason: str | None, extra: Mapping[str, Any]) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, **extra}
        return _event({**self._envelope, "choices": [choice]})


def _event(value: object) -> bytes:
    return b"data: " + go_json(value) + b"\n\n"


def _finish_reason(outcome: Outcome) -> str:
    return "tool_calls" if outcome.answer.tool_calls else outcome.answer.reason


def _usage(outcome: Outcome) -> dict[str, Any]:
    metrics = outcome.metrics()
    prompt, completion = metrics.get("prompt_eval_count", 0), metrics.get("eval_count", 0)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if outcome.generation.cached_count:
        usage["prompt_tokens_details"] = {"cached_tokens": outcome.started.cached_tokens}
    return usage


def _calls(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tool calls of /v1: arguments are a string."""
    return [
        {
            "id": call["id"],
            "index": call["function"]["index"],
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": orjson.dumps(call["function"]["arguments"]).decode(),
            },
        }
        for call in tool_calls(calls)
    ]


async def models(sim: Simulator, exchange: Exchange) -> None:
    entries = [_model(name) for name in sim.node.models]
    await exchange.respond(200, PLAIN_JSON, go_json({"object": "list", "data": entries or None}))


async def model(sim: Simulator, exchange: Exchange) -> None:
    name = exchange.path.removeprefix("/v1/models/")
    if sim.find(name) is None:
        raise Relayed(404, not_found(name))
    await exchange.respond(200, PLAIN_JSON, go_json(_model(name)))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1754049600, "owned_by": "library"}

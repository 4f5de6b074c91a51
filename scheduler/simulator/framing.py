"""How an answer becomes bytes: the lines of /api/chat and /api/generate, and their metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scheduler.simulator.answer import Answer, logprobs_of
from scheduler.simulator.durations import stamp, stamp_now
from scheduler.simulator.events import Started
from scheduler.simulator.exchange import JSON, NDJSON, go_json
from scheduler.simulator.generation import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A generation that ended well. Seconds of the node."""

    answer: Answer
    started: Started
    arrived_at: float
    ended_at: float
    prompt_tokens: int  # of the whole prompt, before truncation
    generation: Generation

    def metrics(self) -> dict[str, int]:
        """Counts and integer nanoseconds, zeros left out, as on the last line."""
        started, tokens = self.started, self.answer.tokens
        eval_s = max(1e-9, self.ended_at - started.at - started.prefill_s)
        cached = started.cached_tokens
        counted = self.generation.counts_cached_prompt
        fields = {
            "total_duration": _nanoseconds(self.ended_at - self.arrived_at),
            "load_duration": _nanoseconds(started.assigned_at - self.arrived_at),
            "prompt_eval_count": started.prompt_tokens - (0 if counted else cached),
            "prompt_eval_cached_count": cached if self.generation.cached_count else 0,
            "prompt_eval_duration": _nanoseconds(started.prefill_s),
            "eval_count": tokens,
            "eval_duration": _nanoseconds(eval_s) if tokens > 1 else 0,  # it runs from the first token
        }
        return {name: value for name, value in fields.items() if value}


def _nanoseconds(seconds: float) -> int:
    return max(1, int(seconds * 1e9))


class Framing(Protocol):
    """One dialect of answering; every method returns bytes for the wire."""

    stream: bool
    stream_type: bytes  # content types
    json_type: bytes

    def piece(self, text: str, *, thinking: bool) -> bytes:
        """A chunk of one token."""

    def tools(self, calls: Sequence[Mapping[str, Any]]) -> bytes:
        """A chunk with all tool calls."""

    def last(self, outcome: Outcome) -> bytes:
        """What ends a stream well."""

    def whole(self, outcome: Outcome) -> bytes:
        """The answer to a request that does not stream."""

    def failed(self, text: str) -> bytes:
        """What an error after the first chunk looks like."""

    def error(self, status: int, text: str) -> bytes:
        """The body of an error before the first chunk."""

    def answered(self, reason: str) -> bytes:
        """The body of a load or an unload."""


class NativeFraming:
    """What both native routes share. `top_logprobs` None is no log probabilities."""

    stream_type = NDJSON
    json_type = JSON

    def __init__(self, model: str, *, stream: bool, top_logprobs: int | None = None) -> None:
        self.model = model
        self.stream = stream
        self.top_logprobs = top_logprobs
        self.rendered: str | None = None  # the prompt, when `_debug_render_only` asks for it
        self._head = b'{"model":' + go_json(model) + b',"created_at":"'

    def failed(self, text: str) -> bytes:
        return go_json({"error": text}) + b"\n"

    def error(self, status: int, text: str) -> bytes:
        return go_json({"error": text})

    def _line(self, middle: bytes) -> bytes:
        return self._head + stamp_now().encode() + middle

    def _logprobs(self, pieces: Sequence[str]) -> dict[str, Any]:
        if self.top_logprobs is None:
            return {}
        return {"logprobs": [entry for piece in pieces for entry in logprobs_of(piece, self.top_logprobs)]}

    def _rendered(self, said: Mapping[str, Any]) -> bytes:
        debug = {"rendered_template": self.rendered}
        return go_json({**self._envelope(), **said, "done": False, "_debug_info": debug})

    def _envelope(self) -> dict[str, Any]:
        return {"model": self.model, "created_at": stamp(time.time_ns())}


def tool_calls(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Native tool calls: arguments are an object."""
    return [
        {"id": f"call_{hash(str(call)) % 36**8:08x}"[:13], "function": {"index": index, **call}}
        for index, call in enumerate(calls)
    ]


class ChatFraming(NativeFraming):
    """/api/chat."""

    def piece(self, text: str, *, thinking: bool) -> bytes:
        extra = b""
        if self.top_logprobs is not None:
            extra = b"," + go_json(self._logprobs([text]))[1:-1]
        message = (b'"content":"","thinking":' if thinking else b'"content":') + go_json(text)
        return self._line(b'","message":{"role":"assistant",' + message + b'},"done":false' + extra + b"}\n")

    def tools(self, calls: Sequence[Mapping[str, Any]]) -> bytes:
        message = {"role": "assistant", "content": "", "tool_calls": tool_calls(calls)}
        return go_json({**self._envelope(), "message": message, "done": False}) + b"\n"

    def last(self, outcome: Outcome) -> bytes:
        return self._final({"role": "assistant", "content": ""}, outcome, {}) + b"\n"

    def whole(self, outcome: Outcome) -> bytes:
        answer = outcome.answer
        message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.content)}
        if answer.thinking:
            message["thinking"] = "".join(answer.thinking)
        if answer.tool_calls:
            message["tool_calls"] = tool_calls(answer.tool_calls)
        return self._final(message, outcome, self._logprobs([*answer.thinking, *answer.content]))

    def answered(self, reason: str) -> bytes:
        if self.rendered is not None:
            return self._rendered({"message": {"role": "", "content": ""}})
        message = {"role": "assistant", "content": ""}
        return go_json({**self._envelope(), "message": message, "done": True, "done_reason": reason})

    def _final(self, message: Mapping[str, Any], outcome: Outcome, extra: Mapping[str, Any]) -> bytes:
        end = {"message": message, "done": True, "done_reason": outcome.answer.reason}
        return go_json({**self._envelope(), **end, **extra, **outcome.metrics()})


class GenerateFraming(NativeFraming):
    """/api/generate; `with_context` adds the token ids of prompt and answer (not in raw mode)."""

    def __init__(
        self, model: str, *, stream: bool, top_logprobs: int | None = None, with_context: bool = True
    ) -> None:
        super().__init__(model, stream=stream, top_logprobs=top_logprobs)
        self.with_context = with_context

    def piece(self, text: str, *, thinking: bool) -> bytes:
        extra = b""
        if self.top_logprobs is not None:
            extra = b"," + go_json(self._logprobs([text]))[1:-1]
        said = (b'"response":"","thinking":' if thinking else b'"response":') + go_json(text)
        return self._line(b'",' + said + b',"done":false' + extra + b"}\n")

    def tools(self, calls: Sequence[Mapping[str, Any]]) -> bytes:
        return b""  # /api/generate takes no tools

    def last(self, outcome: Outcome) -> bytes:
        return self._final({"response": ""}, outcome, {}) + b"\n"

    def whole(self, outcome: Outcome) -> bytes:
        answer = outcome.answer
        said = {"response": "".join(answer.content)}
        if answer.thinking:
            said["thinking"] = "".join(answer.thinking)
        return self._final(said, outcome, self._logprobs([*answer.thinking, *answer.content]))

    def answered(self, reason: str) -> bytes:
        if self.rendered is not None:
            return self._rendered({"response": ""})
        return go_json({**self._envelope(), "response": "", "done": True, "done_reason": reason})

    def _final(self, said: Mapping[str, Any], outcome: Outcome, extra: Mapping[str, Any]) -> bytes:
        end: dict[str, Any] = {**said, "done": True, "done_reason": outcome.answer.reason}
        if self.with_context:
            end["context"] = _token_ids(outcome.prompt_tokens + outcome.answer.tokens)
        return go_json({**self._envelope(), **end, **outcome.metrics(), **extra})


def _token_ids(count: int) -> list[int]:
    """Made-up token ids, as many as prompt and answer have tokens."""
    return [(index * 7919) % 128000 for index in range(count)]

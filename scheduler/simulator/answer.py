"""What the fake model says: the same prompt gives the same words, made of the prompt itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from scheduler.simulator.schema import instance

_WORD = re.compile(r"\S+")
_FALLBACK = ("word",)
_MOST_WORDS = 64  # of the prompt that are echoed
THOUGHTS = 6  # tokens of thinking before the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The pieces of one answer, one token each, and why it ends."""

    thinking: Sequence[str] = ()
    content: Sequence[str] = ()
    tool_calls: tuple[dict[str, Any], ...] = ()
    reason: str = "stop"

    @property
    def tokens(self) -> int:
        return len(self.thinking) + len(self.content) + 8 * len(self.tool_calls)


def token_count(text: str) -> int:
    """About four bytes to a token; an empty text has none."""
    return (len(text) + 3) // 4


def echo(text: str, tokens: int) -> list[str]:
    """The words of `text`, over and over, as `tokens` pieces; all but the first lead with a space."""
    words = _WORD.findall(text[: _MOST_WORDS * 16])[:_MOST_WORDS] or _FALLBACK
    pieces = [" " + words[i % len(words)] for i in range(tokens)]
    if pieces:
        pieces[0] = pieces[0][1:]
    return pieces


def in_pieces(text: str) -> list[str]:
    return [text[i : i + 4] for i in range(0, len(text), 4)]


def structured(form: object) -> list[str]:
    """A text that obeys `format`: an empty-ish object for "json", an instance of a schema otherwise."""
    value = {"answer": "word"} if form == "json" else instance(form)
    return in_pieces(orjson.dumps(value).decode())


def called_tools(tools: Sequence[Mapping[str, Any]], text: str) -> tuple[dict[str, Any], ...]:
    """A call of each tool whose name the text mentions, with an instance of its parameters."""
    functions = [tool.get("function", {}) for tool in tools if isinstance(tool, Mapping)]
    named = [f for f in functions if f.get("name") and str(f["name"]) in text]
    return tuple(
        {
            "name": function["name"],
            "arguments": instance(function.get("parameters", {"type": "object"})) or {},
        }
        for function in named
    )


def limited(answer: Answer, limit: int, stops: Sequence[str]) -> Answer:
    """Cut an answer at `limit` tokens (reason "length") or before the first stop text."""
    thinking, content, reason = answer.thinking, answer.content, answer.reason
    if stops and (at := _first_stop("".join(content), stops)) is not None:
        content, reason = _cut_text(content, at), "stop"
    if len(thinking) + len(content) > limit:
        thinking = thinking[:limit]
        content, reason = content[: limit - len(thinking)], "length"
    return Answer(thinking=thinking, content=content, tool_calls=answer.tool_calls, reason=reason)


def _first_stop(text: str, stops: Sequence[str]) -> int | None:
    found = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return min(found) if found else None


def _cut_text(pieces: Sequence[str], length: int) -> list[str]:
    kept: list[str] = []
    for piece in pieces:
        if length <= 0:
            break
        kept.append(piece[:length])
        length -= len(piece)
    return kept


def logprobs_of(piece: str, top: int) -> list[dict[str, Any]]:
    """The log probabilities of one token: it was nearly certain, its rivals ever less so."""
    chosen: dict[str, Any] = {"token": piece, "logprob": -0.01, "bytes": list(piece.encode())}
    if top:
        rivals = [piece, *(f"{piece}{n}" for n in range(1, top))]
        chosen["top_logprobs"] = [
            {"token": rival, "logprob": -0.01 - 3.0 * n, "bytes": list(rival.encode())}
            for n, rival in enumerate(rivals)
        ]
    return [chosen]

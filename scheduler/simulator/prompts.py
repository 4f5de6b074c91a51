"""The rendered prompt of a request: its pieces, their tokens, and its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.simulator.answer import token_count
from scheduler.simulator.decode import MESSAGE, TOOL, Body, check_fields
from scheduler.simulator.events import Segment
from scheduler.simulator.installed import InstalledModel
from scheduler.simulator.reading import count_images
from scheduler.simulator.simulator import Simulator

IMAGE_TOKENS = 768
_MESSAGE_TOKENS = 4  # what a chat template adds around each message


def read_messages(body: Body) -> list[dict[str, Any]]:
    """The messages, and the tools beside them, with fields of the right types. Raises BadRequest."""
    for tool in body.get("tools", ()):
        check_fields(tool, "ChatRequest.tools", "api.Tool", TOOL)
    return [
        check_fields(message, "ChatRequest.messages", "api.Alias", MESSAGE)
        for message in body.get("messages", ())
    ]


def chat_prompt(
    sim: Simulator, model: InstalledModel, messages: Sequence[Mapping[str, Any]], tools: object, think: bool
) -> tuple[Segment, ...]:
    """What comes first, then each message."""
    first = str((model.name, model.system, think, tools))
    head = token_count(str(tools)) if tools else 0
    if model.system and not (messages and messages[0].get("role") == "system"):
        head += token_count(model.system) + _MESSAGE_TOKENS
    return (
        Segment(key=hash(first), tokens=head),
        *(_message(sim, model, message) for message in messages),
    )


def _message(sim: Simulator, model: InstalledModel, message: Mapping[str, Any]) -> Segment:
    content = message.get("content") or ""
    tokens = token_count(content) + _MESSAGE_TOKENS
    if images := message.get("images"):
        tokens += IMAGE_TOKENS * count_images(sim, model, images)
        content += str(hash(str(images)))
    if calls := message.get("tool_calls"):
        tokens += token_count(str(calls))
        content += str(calls)
    return Segment(key=hash((message.get("role"), content)), tokens=tokens)


def generate_prompt(sim: Simulator, model: InstalledModel, body: Body, think: bool) -> tuple[Segment, ...]:
    """The system text, the context of a former answer, the prompt."""
    system = body.get("system") or model.system
    images = count_images(sim, model, body.get("images"))
    segments = [Segment(key=hash((model.name, system, think)), tokens=token_count(system))]
    if context := body.get("context"):
        segments.append(Segment(key=hash(str(context)), tokens=len(context)))
    text = body.get("prompt", "") + body.get("suffix", "")
    tokens = token_count(text) + _MESSAGE_TOKENS + images * IMAGE_TOKENS
    segments.append(Segment(key=hash(("user", text, str(body.get("images")))), tokens=tokens))
    return tuple(segments)


def last_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The words of the last message, which the answer is made of."""
    return messages[-1].get("content") or "" if messages else ""


def rendered_chat(model: InstalledModel, messages: Sequence[Mapping[str, Any]]) -> str:
    """The prompt as one text, for `_debug_render_only`."""
    system = model.system if not (messages and messages[0].get("role") == "system") else ""
    return " ".join(filter(None, [system, *(message.get("content") or "" for message in messages)]))


def rendered_generate(model: InstalledModel, body: Body) -> str:
    """See rendered_chat."""
    return f"{body.get('system') or model.system} {body.get('prompt', '')}"

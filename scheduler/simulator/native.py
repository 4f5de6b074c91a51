"""POST /api/chat and /api/generate: reading the request and planning the answer."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.simulator.answer import THOUGHTS, Answer, called_tools, echo, structured, token_count
from scheduler.simulator.completion import Job, serve
from scheduler.simulator.decode import BadRequest, Body, decode
from scheduler.simulator.durations import BadDuration, keep_alive_seconds
from scheduler.simulator.errors import not_found
from scheduler.simulator.events import Kind, Request, Segment
from scheduler.simulator.exchange import Exchange
from scheduler.simulator.framing import ChatFraming, GenerateFraming
from scheduler.simulator.installed import InstalledModel
from scheduler.simulator.options import WrongOption, check_options
from scheduler.simulator.simulator import Simulator

IMAGE_TOKENS = 768
_MESSAGE_TOKENS = 4  # what a chat template adds around each message
_THINK_LEVELS = ("low", "medium", "high", "max")
_NO_IMAGES = "this model is missing data required for image input"


async def chat(sim: Simulator, exchange: Exchange) -> None:
    arrived_at = sim.driver.now()
    body = decode(await exchange.body(), "ChatRequest")
    top = top_logprobs(body)
    name = sim.local_name(body.get("model", ""), BadRequest(400, "model is required"))
    model = require(sim, name)
    messages: list[dict[str, Any]] = body.get("messages", [])
    keep_alive = read_keep_alive(body)
    framing = ChatFraming(body["model"], stream=body.get("stream", True) and bool(messages), top_logprobs=top)
    think = thinking(body, model, relevant=bool(messages) or keep_alive != 0)
    if messages or keep_alive != 0:
        wanted = ("completion", "tools") if body.get("tools") else ("completion",)
        require_capabilities(model, wanted, f'"{body["model"]}" does not support chat')
    options = read_options(body)
    request = Request(
        id=sim.driver.new_id(),
        model=model.name,
        kind=kind_of(empty=not messages, keep_alive=keep_alive),
        prompt=chat_prompt(model, messages, body.get("tools"), think),
        options=options,
        keep_alive_s=keep_alive,
        shift=body.get("shift"),
        truncate=body.get("truncate", True),
    )
    answer = plan(sim, options, last_text(messages), body, think=think)
    await serve(sim, exchange, _job(request, answer, framing, options, arrived_at))


async def generate(sim: Simulator, exchange: Exchange) -> None:
    arrived_at = sim.driver.now()
    body = decode(await exchange.body(), "GenerateRequest")
    top = top_logprobs(body)
    asked = body.get("model", "")
    name = sim.local_name(asked, BadRequest(404, not_found(asked)))
    model = require(sim, name)
    prompt, keep_alive = body.get("prompt", ""), read_keep_alive(body)
    raw = body.get("raw", False)
    framing = GenerateFraming(
        asked, stream=body.get("stream", True) and bool(prompt), top_logprobs=top, with_context=not raw
    )
    think = thinking(body, model, relevant=bool(prompt) or keep_alive != 0)
    if prompt or keep_alive != 0:
        if raw and (body.get("template") or body.get("system") or body.get("context")):
            raise BadRequest(400, "raw mode does not support template, system, or context")
        wanted = ("completion", "insert") if body.get("suffix") else ("completion",)
        require_capabilities(model, wanted, f'"{asked}" does not support generate')
    options = read_options(body)
    request = Request(
        id=sim.driver.new_id(),
        model=model.name,
        kind=kind_of(empty=not prompt, keep_alive=keep_alive),
        prompt=_generate_prompt(model, body, think),
        options=options,
        keep_alive_s=keep_alive,
        shift=body.get("shift"),
        truncate=body.get("truncate", True),
    )
    answer = plan(sim, options, prompt, body, think=think)
    await serve(sim, exchange, _job(request, answer, framing, options, arrived_at))


def _job(
    request: Request,
    answer: Answer,
    framing: ChatFraming | GenerateFraming,
    options: Mapping[str, Any],
    arrived_at: float,
) -> Job:
    return Job(
        request=request,
        answer=answer,
        framing=framing,
        num_predict=options.get("num_predict", -1),
        stops=options.get("stop", ()),
        arrived_at=arrived_at,
    )


# ---- reading


def require(sim: Simulator, name: str) -> InstalledModel:
    model = sim.find(name)
    if model is None:
        raise BadRequest(404, not_found(name))
    return model


def require_capabilities(model: InstalledModel, wanted: Sequence[str], no_completion: str) -> None:
    missing = [capability for capability in wanted if capability not in model.capabilities]
    if "completion" in missing:
        raise BadRequest(400, no_completion)
    if missing:
        full = model.name if "/" in model.name else f"library/{model.name}"
        raise BadRequest(400, f"registry.ollama.ai/{full} does not support {' '.join(missing)}")


def read_keep_alive(body: Body) -> float | None:
    try:
        return keep_alive_seconds(body.get("keep_alive"))
    except BadDuration as error:
        raise BadRequest(400, str(error)) from None


def read_options(body: Body) -> dict[str, Any]:
    try:
        return check_options(body.get("options", {}))
    except WrongOption as error:
        raise BadRequest(500, str(error)) from None


def top_logprobs(body: Body) -> int | None:
    top = body.get("top_logprobs", 0)
    if not 0 <= top <= 20:
        raise BadRequest(400, "top_logprobs must be between 0 and 20")
    return top if body.get("logprobs") else None


def kind_of(*, empty: bool, keep_alive: float | None) -> Kind:
    if not empty:
        return Kind.GENERATE
    return Kind.UNLOAD if keep_alive == 0 else Kind.LOAD


def thinking(body: Body, model: InstalledModel, *, relevant: bool) -> bool:
    """Whether the answer thinks first: models that can do so do it unless told not to."""
    think = body.get("think")
    if think is not None and not isinstance(think, bool) and think not in _THINK_LEVELS:
        raise BadRequest(400, _bad_think(think))
    if "thinking" in model.capabilities:
        return think is None or bool(think)
    if think and relevant:
        raise BadRequest(400, f'"{body["model"]}" does not support thinking')
    return False


def _bad_think(think: object) -> str:
    levels = '"high", "medium", "low", "max", true, or false'
    if isinstance(think, str):
        return f'invalid think value: "{think}" (must be {levels})'
    return f"think must be a boolean or string ({levels})"


def check_images(model: InstalledModel, images: object) -> int:
    """How many images there are. Raises BadRequest for bad base64, or a model that cannot see."""
    if not isinstance(images, list) or not images:
        return 0
    for image in images:
        try:
            b64decode(image, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise BadRequest(400, "illegal base64 data at input byte 0") from None
    if "vision" not in model.capabilities:
        raise BadRequest(500, _NO_IMAGES)
    return len(images)


# ---- prompts


def chat_prompt(
    model: InstalledModel, messages: Sequence[Any], tools: object, think: bool
) -> tuple[Segment, ...]:
    """The rendered prompt as pieces: what comes first, then each message."""
    first = str((model.name, model.system, think, tools))
    head = token_count(str(tools)) if tools else 0
    if model.system and not (
        messages and isinstance(messages[0], dict) and messages[0].get("role") == "system"
    ):
        head += token_count(model.system) + _MESSAGE_TOKENS
    return (Segment(key=hash(first), tokens=head), *(_message(model, message) for message in messages))


def _message(model: InstalledModel, message: object) -> Segment:
    if not isinstance(message, dict):
        raise BadRequest(
            400, "json: cannot unmarshal into Go struct field ChatRequest.messages of type api.Message"
        )
    content = message.get("content") or ""
    if not isinstance(content, str):
        raise BadRequest(
            400,
            "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string",
        )
    tokens = token_count(content) + _MESSAGE_TOKENS
    if message.get("images"):
        tokens += IMAGE_TOKENS * check_images(model, message["images"])
        content += str(hash(str(message["images"])))
    if calls := message.get("tool_calls"):
        tokens += token_count(str(calls))
        content += str(calls)
    return Segment(key=hash((message.get("role"), content)), tokens=tokens)


def _generate_prompt(model: InstalledModel, body: Body, think: bool) -> tuple[Segment, ...]:
    system = body.get("system") or model.system
    images = check_images(model, body.get("images"))
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


# ---- the answer


def plan(sim: Simulator, options: Mapping[str, Any], text: str, body: Body, *, think: bool) -> Answer:
    """What the model will say, before stops and limits. A positive num_predict is met exactly."""
    form = body.get("format")
    if form is not None and form not in ("", "json") and not isinstance(form, dict):
        raise BadRequest(500, f'invalid format: "{form}"; expected "json" or a valid JSON Schema object')
    thoughts = echo(f"Let me think about {text}", THOUGHTS) if think else []
    calls = called_tools(body.get("tools", ()), text)
    if calls:
        return Answer(thinking=thoughts, tool_calls=calls)
    if form:
        return Answer(thinking=thoughts, content=structured(form))
    wanted = options.get("num_predict", -1)
    if wanted > 0:
        return Answer(thinking=thoughts, content=echo(text, wanted + 1))
    if wanted == 0 or wanted < -1:
        # Ollama leaves a 0 out, and llama-server then generates without end (section 6.4).
        return Answer(thinking=thoughts, content=echo(text, 10 * sim.node.config.default_context + 1))
    return Answer(thinking=thoughts, content=echo(text, sim.behaviour.answer_tokens))

"""POST /api/chat and /api/generate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.simulator.answer import THOUGHTS, Answer, called_tools, echo, structured
from scheduler.simulator.completion import Job, serve
from scheduler.simulator.decode import BadRequest, Body, decode
from scheduler.simulator.errors import not_found
from scheduler.simulator.events import Kind, Request, Segment
from scheduler.simulator.exchange import Exchange
from scheduler.simulator.framing import ChatFraming, GenerateFraming
from scheduler.simulator.installed import InstalledModel
from scheduler.simulator.prompts import (
    chat_prompt,
    generate_prompt,
    last_text,
    read_messages,
    rendered_chat,
    rendered_generate,
)
from scheduler.simulator.reading import (
    check_format,
    kind_of,
    read_keep_alive,
    read_options,
    require,
    require_capabilities,
    thinks,
    top_logprobs,
)
from scheduler.simulator.simulator import Simulator


async def chat(sim: Simulator, exchange: Exchange) -> None:
    arrived_at = sim.driver.now()
    body = decode(await exchange.body(), "ChatRequest")
    messages, top, keep_alive = read_messages(body), top_logprobs(body), read_keep_alive(body)
    name = sim.local_name(body.get("model", ""), BadRequest(400, "model is required"))
    model = require(sim, name)
    kind = kind_of(empty=not messages, keep_alive=keep_alive)
    think = thinks(body, model, unloads=kind is Kind.UNLOAD)
    if kind is not Kind.UNLOAD:
        wanted = ("completion", "tools") if body.get("tools") else ("completion",)
        require_capabilities(model, wanted, f'"{body["model"]}" does not support chat')
    framing = ChatFraming(body["model"], stream=body.get("stream", True), top_logprobs=top)
    if kind is Kind.GENERATE and body.get("_debug_render_only"):
        kind, framing.rendered = Kind.LOAD, rendered_chat(model, messages)
    prompt = chat_prompt(sim, model, messages, body.get("tools"), think)
    job = _job(sim, model, body, _Wish(kind, prompt, framing, last_text(messages), think, arrived_at))
    await serve(sim, exchange, job)


async def generate(sim: Simulator, exchange: Exchange) -> None:
    arrived_at = sim.driver.now()
    body = decode(await exchange.body(), "GenerateRequest")
    top, keep_alive, text = top_logprobs(body), read_keep_alive(body), body.get("prompt", "")
    asked, raw = body.get("model", ""), body.get("raw", False)
    name = sim.local_name(asked, BadRequest(404, not_found(asked)))
    model = require(sim, name)
    kind = kind_of(empty=not text, keep_alive=keep_alive)
    think = thinks(body, model, unloads=kind is Kind.UNLOAD)
    if kind is not Kind.UNLOAD:
        if raw and (body.get("template") or body.get("system") or body.get("context")):
            raise BadRequest(400, "raw mode does not support template, system, or context")
        wanted = ("completion", "insert") if body.get("suffix") else ("completion",)
        require_capabilities(model, wanted, f'"{asked}" does not support generate')
    framing = GenerateFraming(asked, stream=body.get("stream", True), top_logprobs=top, with_context=not raw)
    if kind is Kind.GENERATE and body.get("_debug_render_only"):
        kind, framing.rendered = Kind.LOAD, rendered_generate(model, body)
    prompt = generate_prompt(sim, model, body, think)
    await serve(sim, exchange, _job(sim, model, body, _Wish(kind, prompt, framing, text, think, arrived_at)))


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one of the two routes wants; the rest is the same for both."""

    kind: Kind
    prompt: tuple[Segment, ...]
    framing: ChatFraming | GenerateFraming
    text: str  # what the answer is made of
    think: bool
    arrived_at: float


def _job(sim: Simulator, model: InstalledModel, body: Body, wish: _Wish) -> Job:
    options = read_options(body)
    request = Request(
        id=sim.driver.new_id(),
        model=model.name,
        kind=wish.kind,
        prompt=wish.prompt,
        options=options,
        keep_alive_s=read_keep_alive(body),
        shift=body.get("shift"),
        truncate=body.get("truncate", True),
    )
    layered = {**model.parameters, **options} if model.parameters else options
    return Job(
        request=request,
        answer=plan(sim, layered, wish.text, body, think=wish.think),
        framing=wish.framing,
        num_predict=layered.get("num_predict", -1),
        stops=layered.get("stop", ()),
        arrived_at=wish.arrived_at,
    )


def plan(sim: Simulator, options: Mapping[str, Any], text: str, body: Body, *, think: bool) -> Answer:
    """What the model will say, before stops and limits. A positive num_predict is met exactly."""
    form = check_format(body)
    thoughts = echo(f"Let me think about {text}", THOUGHTS) if think else []
    if calls := called_tools(body.get("tools", ()), text):
        return Answer(thinking=thoughts, tool_calls=calls)
    if form is not None:
        return Answer(thinking=thoughts, content=structured(form))
    wanted = options.get("num_predict", -1)
    if wanted > 0:
        return Answer(thinking=thoughts, content=echo(text, wanted + 1))
    if wanted == 0 or wanted < -1:
        # Ollama leaves a 0 out, and llama-server then generates without end (section 6.4).
        return Answer(thinking=thoughts, content=echo(text, 10 * sim.node.config.default_context + 1))
    return Answer(thinking=thoughts, content=echo(text, sim.behaviour.answer_tokens))

"""POST /api/embed and the older /api/embeddings: unit vectors made from the text itself."""

from __future__ import annotations

import math
import random
from functools import lru_cache
from zlib import crc32

from scheduler.simulator.answer import token_count
from scheduler.simulator.decode import BadRequest, Body, decode
from scheduler.simulator.errors import RUNNER_STOPPED, RUNTIME_OOM, not_found, not_found_try_pulling
from scheduler.simulator.events import Kind, Refused, Request, Segment, Started
from scheduler.simulator.exchange import Exchange
from scheduler.simulator.faults import Fault
from scheduler.simulator.installed import InstalledModel
from scheduler.simulator.reading import read_keep_alive, read_options
from scheduler.simulator.simulator import Simulator

_EXTRA_TOKENS = 2  # begin and end of each input
_FAULTS = ("busy_503", "hang", "oom_running", "error_mid_stream", "runner_crash", "cut_mid_stream")


async def embed(sim: Simulator, exchange: Exchange) -> None:
    arrived_at = sim.driver.now()
    body = decode(await exchange.body(), "EmbedRequest")
    asked = body.get("model", "")
    name = sim.local_name(asked, BadRequest(404, not_found(asked)))
    inputs = _inputs(body.get("input"))
    model = _require(sim, name)
    tokens = [token_count(text) + _EXTRA_TOKENS for text in inputs]
    started = await _hold_slot(sim, exchange, _request(sim, model, body, tokens))
    if exchange.started:
        return
    answer: dict[str, object] = {"model": asked, "embeddings": []}
    if started is not None:
        size = min(body.get("dimensions") or model.shape.embedding, model.shape.embedding)
        answer["embeddings"] = [vector(text, size) for text in inputs]
        answer["total_duration"] = max(1, int((sim.driver.now() - arrived_at) * 1e9))
        answer["load_duration"] = max(1, int((started.assigned_at - arrived_at) * 1e9))
        answer["prompt_eval_count"] = min(sum(tokens), len(tokens) * started.num_ctx)
    await exchange.json(answer)


async def embeddings(sim: Simulator, exchange: Exchange) -> None:
    body = decode(await exchange.body(), "EmbeddingRequest")
    name = sim.local_name(body.get("model", ""), BadRequest(400, "model is required"))
    model = _require(sim, name)
    prompt = body.get("prompt", "")
    tokens = [token_count(prompt) + _EXTRA_TOKENS] if prompt else []
    started = await _hold_slot(sim, exchange, _request(sim, model, body, tokens))
    if not exchange.started:
        values = vector(prompt, model.shape.embedding) if started is not None else []
        await exchange.json({"embedding": values})


def _inputs(given: object) -> list[str]:
    if given is None:
        return []
    if isinstance(given, str):
        return [given] if given else []
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise BadRequest(400, "invalid input type")
    return given


def _require(sim: Simulator, name: str) -> InstalledModel:
    model = sim.find(name)
    if model is None:
        raise BadRequest(404, not_found_try_pulling(name))
    return model


def _request(sim: Simulator, model: InstalledModel, body: Body, tokens: list[int]) -> Request:
    """One request for all inputs: an embedding runner has one slot, so they would queue anyway."""
    return Request(
        id=sim.driver.new_id(),
        model=model.name,
        kind=Kind.EMBED if tokens else Kind.LOAD,
        prompt=tuple(Segment(key=0, tokens=count) for count in tokens),
        options=read_options(body),
        keep_alive_s=read_keep_alive(body),
        truncate=body.get("truncate", True),
    )


async def _hold_slot(sim: Simulator, exchange: Exchange, request: Request) -> Started | None:
    """Run the request on the node; None means that there was nothing to embed, or that it was refused."""
    driver = sim.driver
    fault = sim.board.take(_FAULTS, request.model) if sim.board.faults else None
    late = sim.board.take(("latency",), request.model) if sim.board.faults else None
    try:
        if late is not None:
            exchange.watch()
            await driver.sleep(late.value)
        reply = driver.submit(request)
        if reply is None or fault is not None:
            exchange.watch()
        reply = reply or await driver.reply(request.id)
        if isinstance(reply, Refused):
            await exchange.error(reply.status, reply.error)
        elif isinstance(reply, Started):
            if fault is not None:
                await _go_wrong(sim, exchange, request, fault)
            elif reply.prefill_s:
                exchange.watch()
                await driver.sleep(reply.prefill_s)
            driver.finish(request.id)
            return reply
        return None
    finally:
        driver.cancel(request.id)
        exchange.unwatch()


async def _go_wrong(sim: Simulator, exchange: Exchange, request: Request, fault: Fault) -> None:
    while fault.kind == "hang":
        await sim.driver.sleep(3600)
    if fault.kind == "busy_503":
        await exchange.error(503, "server busy, please try again.  maximum pending requests exceeded")
    elif fault.kind == "cut_mid_stream":
        await exchange.start(200, b"application/json; charset=utf-8")
    elif fault.kind == "oom_running":
        sim.driver.runtime_oom()
        await exchange.error(400, RUNTIME_OOM)
    else:
        if fault.kind == "runner_crash":
            sim.driver.fail_runner(request.model)
        await exchange.error(400, RUNNER_STOPPED)


@lru_cache(maxsize=16)
def _base(size: int) -> tuple[float, ...]:
    source = random.Random(size)  # noqa: S311  a vector to look at, not a secret
    return tuple(source.gauss(0.0, 1.0) for _ in range(size))


def vector(text: str, size: int) -> list[float]:
    """A vector of length 1: equal texts give equal ones, on every node and in every process."""
    base = _base(size)
    turn = crc32(text.encode()) % size
    length = math.sqrt(sum(value * value for value in base))
    return [round(value / length, 9) for value in (*base[turn:], *base[:turn])]

"""What exists and what is resident, from the snapshot; no list shows what a key may not use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import orjson

from bridge.catalogue import Entry
from bridge.dialects import models as shapes
from bridge.dialects import ollama
from bridge.errors import NotFound
from bridge.exchange import Exchange
from bridge.hot.answer import Answer, json_answer
from bridge.hot.request import HotRequest
from bridge.plane import DataPlane, current
from bridge.relay import JSON_HEADERS, failed
from bridge.transport import NodeError
from scheduler.board.interface import Resident

View = Callable[[HotRequest, Exchange], Awaitable[Answer]]

FOREVER = datetime(2318, 1, 1, tzinfo=UTC)  # about what Ollama shows for keep_alive -1


async def tags(request: HotRequest, exchange: Exchange) -> Answer:
    """GET /api/tags."""
    return listed(exchange, shapes.ollama_tags(shape(entry) for entry in visible(exchange)))


async def ps(request: HotRequest, exchange: Exchange) -> Answer:
    """GET /api/ps: what is resident on any node, once for each node that holds it."""
    entries = {entry.name: entry for entry in visible(exchange)}
    residents = await current().board.residents()
    rows = [running(each, entries[each.model]) for each in residents if each.model in entries]
    return listed(exchange, shapes.ollama_ps(rows))


async def version(request: HotRequest, exchange: Exchange) -> Answer:
    """GET /api/version: the oldest among the nodes, since clients choose features by it."""
    return listed(exchange, orjson.dumps({"version": current().catalogue.oldest_version or "0.0.0"}))


async def models(request: HotRequest, exchange: Exchange) -> Answer:
    """GET /v1/models."""
    return listed(exchange, shapes.openai_list(shape(entry) for entry in visible(exchange)))


async def model(request: HotRequest, exchange: Exchange) -> Answer:
    """GET /v1/models/{id}."""
    entry = current().entry(request.path.removeprefix("/v1/models/"), exchange)
    return listed(exchange, shapes.openai_one(shape(entry)))


async def show(request: HotRequest, exchange: Exchange) -> Answer:
    """POST /api/show: asked of a node that holds the model; its bytes untouched."""
    plane = current()
    name, body = ollama.named(request.payload)
    entry = plane.entry(name, exchange)
    node = holder(plane, entry)
    try:
        reply = await plane.transport.send(
            plane.origin(node),
            b"POST",
            b"/api/show",
            JSON_HEADERS,
            orjson.dumps(body | {"model": entry.name}),
            first_byte_timeout_s=plane.show_timeout_s,
            idle_timeout_s=plane.show_timeout_s,
        )
        payload = await reply.read()
    except NodeError as error:
        plane.suspect(node)
        raise failed(error, before_first_byte=True) from error
    exchange.finish("answered")
    return json_answer(reply.status, payload, exchange.headers())


def visible(exchange: Exchange) -> list[Entry]:
    assert exchange.grant is not None
    return current().catalogue.visible(exchange.grant.may_use)


def listed(exchange: Exchange, body: bytes) -> Answer:
    """Lists are polled by clients all day: they leave no usage record unless they are refused."""
    exchange.unrecorded = True
    exchange.finish("answered")
    return json_answer(200, body, exchange.headers())


def shape(entry: Entry) -> shapes.Model:
    return shapes.Model(
        name=entry.listed,
        modified_at=entry.modified_at,
        size=entry.size_bytes,
        digest=entry.digest,
        details=entry.details,
        capabilities=tuple(sorted(entry.capabilities)),
    )


def running(resident: Resident, entry: Entry) -> shapes.Resident:
    return shapes.Resident(
        name=entry.listed,
        size=resident.bytes,
        size_vram=resident.bytes,
        digest=entry.digest,
        expires_at=FOREVER,
        context_length=resident.num_ctx,
        details=entry.details,
    )


def holder(plane: DataPlane, entry: Entry) -> str:
    """A node to ask about the model: one that no request has met dead just now."""
    nodes = [node for node in entry.nodes if not plane.is_suspect(node)] or list(entry.nodes)
    if not nodes:
        raise NotFound(f"No node holds the model '{entry.listed}' now.", kind="no_node")
    return nodes[0]

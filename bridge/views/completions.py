"""The views of every route that generates or embeds: read, admit, seat, relay."""

from __future__ import annotations

from bridge import admission, relay
from bridge.dialects import ollama
from bridge.dialects.inner import BadRequest, Inner
from bridge.errors import BadInput, BridgeError
from bridge.exchange import Exchange
from bridge.hot.answer import Answer, Headers
from bridge.hot.client import Client
from bridge.hot.pulse import Pulse
from bridge.hot.request import HotRequest
from bridge.plane import Entry, current

STREAM_HEADERS = [(b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no")]


async def complete(request: HotRequest, exchange: Exchange) -> Answer:
    """Answer a chat, completion or embedding request in the dialect of its route."""
    plane = current()
    inner = exchange.dialect.read(request.payload)
    exchange.stream = inner.stream
    entry = plane.entry(inner.model, exchange)
    check_capabilities(inner, entry)
    if inner.purpose != "generate":
        return await emptied(request, exchange, inner, entry)
    encoder = exchange.dialect.encoder(inner, request_id=exchange.id, created=int(exchange.at))
    job = relay.Job(
        plane, exchange, inner, plane.ticket(request, exchange, inner, entry), encoder, frozenset(entry.nodes)
    )
    if inner.stream:
        assert request.client is not None
        return await stream(job, request.client)
    body = await job.whole()
    exchange.finish("answered", reason=relay.done_reason(exchange.counts))
    return Answer(200, [(b"content-type", b"application/json; charset=utf-8"), *exchange.headers()], body)


async def stream(job: relay.Job, client: Client) -> Answer:
    """A stream opens as soon as the node answers, or with heartbeats when that takes long."""

    def opening() -> tuple[Headers, bytes]:
        job.started = True
        return stream_headers(job), job.encoder.start()

    job.exchange.break_off = job.encoder.failure
    with Pulse(client, job.plane.heartbeat_s, opening=opening, beat=job.encoder.heartbeat):
        try:
            reply = await job.open()
        except (BridgeError, BadRequest) as error:
            if not client.begun:
                raise
            return Answer(200, [], relay.failed_late(job, error))
    return Answer(200, stream_headers(job), relay.relayed(job, reply), on_close=job.drop)


def stream_headers(job: relay.Job) -> Headers:
    return [(b"content-type", job.encoder.content_type), *STREAM_HEADERS, *job.exchange.headers()]


async def emptied(request: HotRequest, exchange: Exchange, inner: Inner, entry: Entry) -> Answer:
    """Ollama's load and unload calls: nothing to generate. A load waits until the model is resident; an
    unload is answered, but what lives in VRAM is the scheduler's decision and not one client's."""
    plane = current()
    if inner.purpose == "load":
        await admission.seat(plane.board, plane.ticket(request, exchange, inner, entry), exchange)
    exchange.finish("answered", reason=inner.purpose)
    encoder = exchange.dialect.encoder(inner, request_id=exchange.id, created=int(exchange.at))
    reply = ollama.emptied(inner, created=int(exchange.at))
    body = encoder.start() + encoder.event(reply) if inner.stream else encoder.whole(reply)
    return Answer(200, [(b"content-type", encoder.content_type), *exchange.headers()], body)


WORDS = {"completion": "generate", "embedding": "embed", "insert": "insert"}


def check_capabilities(inner: Inner, entry: Entry) -> None:
    """Refuse what the model cannot do, in Ollama's words; drop what it merely would ignore."""
    if not entry.capabilities:
        return  # a node too old to tell; it will answer for itself
    for capability in inner.needs - entry.capabilities:
        word = WORDS.get(capability, capability)
        raise BadInput(f'"{inner.model}" does not support {word}', kind="wrong_capability", param="model")
    for capability in inner.wants - entry.capabilities:
        inner.without(capability)

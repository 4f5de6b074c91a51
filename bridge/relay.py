"""The relay: from a seat to the client's bytes. It always speaks the native API towards the node.

A stream ends well only with the node's `done: true`. Before the first byte a failure may be tried on another
node; after it the client is told in its dialect. A native client gets the node's bytes untouched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from bridge import admission
from bridge.dialects import counts, node_lines
from bridge.dialects.inner import BadRequest, Encoder, Inner, NodeFault
from bridge.dialects.ndjson import LineSplitter, LineTooLong
from bridge.errors import BridgeError, NodeFailed, NodeRefused
from bridge.exchange import Exchange
from bridge.plane import DataPlane
from bridge.transport import NodeError, NodeTimeout, Phase, Reply
from scheduler.board.interface import Seat, Ticket

log = logging.getLogger(__name__)

ATTEMPTS = 3  # nodes tried for one request before the client hears of it
DONE = b'"done":true'
ERROR_LINE = b'{"error":'
JSON_HEADERS = [(b"content-type", b"application/json"), (b"accept", b"application/x-ndjson")]
# Options that a runner is started with: the profile decides them, since another value reloads the model.
RUNNER_OPTIONS = (
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
)


@dataclass(slots=True)
class Job:
    """One inner request on its way to a node and back."""

    plane: DataPlane
    exchange: Exchange
    inner: Inner
    ticket: Ticket
    encoder: Encoder
    reply: Reply | None = None
    attempts: int = 0  # seats taken so far

    async def open(self) -> Reply:
        """A reply of a node with status 200, its body unread. Raises BridgeError."""
        while True:
            moved = self.attempts > 0
            seat = await admission.seat(self.plane.board, self.ticket, self.exchange, moved=moved)
            self.attempts += 1
            try:
                self.reply = await self._send(seat)
                return self.reply
            except NodeFailed as error:
                self._move_on(error, seat.node)

    def _move_on(self, error: NodeFailed, node: str) -> None:
        """Leave the node out of the next attempt, or raise the error when there is to be none."""
        if self.attempts == ATTEMPTS or not error.should_retry:
            raise error
        log.info("request %s moves on from node %s: %s", self.exchange.id, node, error)
        self.plane.suspect(node)
        self.ticket = replace(self.ticket, avoid=self.ticket.avoid | {node})

    async def _send(self, seat: Seat) -> Reply:
        plane, inner = self.plane, self.inner
        dress(inner, seat, plane.keep_alive)
        try:
            reply = await plane.transport.send(
                plane.origin(seat.node),
                b"POST",
                b"/api/" + inner.route.encode(),
                JSON_HEADERS,
                inner.payload(),
                first_byte_timeout_s=plane.first_token_timeout_s,
                idle_timeout_s=plane.idle_timeout_s,
            )
        except NodeError as error:
            raise failed(error, before_first_byte=True) from error
        if reply.status == 200:
            return reply
        try:
            text = said(await reply.read(limit=65_536))
        except NodeError as error:
            raise failed(error, before_first_byte=True) from error
        if reply.status >= 500:
            raise NodeFailed(f"The node answered {reply.status}: {text}", status=502, should_retry=True)
        raise NodeRefused(text, status=reply.status)

    def drop(self) -> None:
        """Let go of the node at once; an unfinished generation is cancelled by it."""
        if self.reply is not None:
            self.reply.drop()

    async def whole(self) -> bytes:
        """The reply of a request that does not stream, as the client's body."""
        while True:
            reply = await self.open()
            try:
                out = self.encoder.whole(await reply.read())
            except (NodeError, NodeFault) as error:
                assert self.exchange.seat is not None
                self._move_on(failed(error, before_first_byte=True), self.exchange.seat.node)
            else:
                self.exchange.counts = self.encoder.counts
                self.exchange.first_token()
                return out


def dress(inner: Inner, seat: Seat, keep_alive: int | str) -> None:
    """Give the body what every call for this resident carries, whatever the client wrote."""
    body = inner.body
    options = body.get("options") or {}
    for name in RUNNER_OPTIONS:
        options.pop(name, None)
    body["options"] = {**options, **seat.options}
    body["model"] = seat.model
    body["keep_alive"] = keep_alive
    body.pop("shift", None)  # part of the profile too: another value reloads


async def untouched(job: Job, reply: Reply) -> AsyncGenerator[bytes, None]:
    """The node's bytes as they come. The end mark is looked for by one search in each chunk; a line that was
    cut is remembered until its end comes, so that the record is written before the client sees `done`."""
    exchange = job.exchange
    cut: list[bytes] = []
    last = b""
    try:
        async for chunk in reply:
            if exchange.first_token_s is None:
                exchange.first_token()
            exchange.lines += chunk.count(b"\n")
            last = chunk
            if cut or chunk[-1] != 10:
                cut.append(chunk)
                if chunk[-1] != 10:
                    yield chunk
                    continue
                last = b"".join(cut)
                cut.clear()
            if DONE in last:
                settle_done(exchange, last)
            yield chunk
        if exchange.outcome is None:
            yield ended_badly(job, last)
    except NodeError as error:
        yield (b"\n" if cut else b"") + broke_off(job, error)


def settle_done(exchange: Exchange, data: bytes) -> None:
    """The node's last line is here: count it and write the record."""
    line = data.rstrip(b"\n").rpartition(b"\n")[2]
    if DONE in line:
        exchange.counts = counts.read(line)
        exchange.finish("answered", reason=exchange.counts.done_reason if exchange.counts else "")


def ended_badly(job: Job, last: bytes) -> bytes:
    """The node closed the stream without `done: true`. Where its last line said why, the client has it."""
    line = last.rstrip(b"\n").rpartition(b"\n")[2]
    if line.startswith(ERROR_LINE):
        job.exchange.finish("failed", reason="node_error")
        return b""
    return broke_off(job, NodeFault("the node ended the stream without its end mark", kind="node_garbage"))


def broke_off(job: Job, error: NodeError | NodeFault) -> bytes:
    """The end of a stream that the client must not take for a good one."""
    fault = failed(error, before_first_byte=False)
    job.exchange.finish("failed", reason=fault.kind)
    log.warning("request %s: %s", job.exchange.id, fault)
    return job.encoder.failure(fault.failure)


async def encoded(job: Job, reply: Reply) -> AsyncGenerator[bytes, None]:
    """The node's lines as the client's dialect."""
    exchange, encoder, splitter = job.exchange, job.encoder, LineSplitter()
    try:
        yield encoder.start()
        async for chunk in reply:
            out = []
            for line in splitter.feed(chunk):
                exchange.lines += 1
                out.append(encoder.event(line))
            exchange.first_token()
            if encoder.finished:
                exchange.counts = encoder.counts
                exchange.finish("answered", reason=encoder.counts.done_reason if encoder.counts else "")
            if data := b"".join(out):
                yield data
        if not encoder.finished:
            yield broke_off(
                job, NodeFault("the node ended the stream without its end mark", kind="node_garbage")
            )
    except LineTooLong as error:
        yield broke_off(
            job, NodeFault(f"the node sent a line that is too long: {error}", kind="node_garbage")
        )
    except (NodeError, NodeFault) as error:
        yield broke_off(job, error)


async def waited(job: Job, opening: asyncio.Task[Reply], heartbeat_s: float) -> AsyncGenerator[bytes, None]:
    """A stream that begins before there is anything to relay: heartbeats until the node answers."""
    try:
        while not opening.done():
            yield job.encoder.heartbeat()
            await asyncio.wait({opening}, timeout=heartbeat_s)
        reply = opening.result()
    except (BridgeError, BadRequest) as error:
        fault = error if isinstance(error, BridgeError) else NodeFailed(str(error))
        inside = fault.source == "node"
        job.exchange.finish("failed" if inside else "refused", reason=fault.kind, status=fault.status)
        yield job.encoder.failure(fault.failure)
        return
    async for chunk in relayed(job, reply):
        yield chunk


def relayed(job: Job, reply: Reply) -> AsyncGenerator[bytes, None]:
    return untouched(job, reply) if job.exchange.dialect.name.startswith("ollama") else encoded(job, reply)


def said(body: bytes) -> str:
    """The text of a node's error body."""
    try:
        node_lines.parse(body)
    except NodeFault as fault:
        if fault.kind == "node_error":
            return fault.message
    return body[:500].decode("utf-8", "replace").strip() or "no reason given"


def failed(error: NodeError | NodeFault, *, before_first_byte: bool) -> NodeFailed:
    """A foreign error as ours. Trying elsewhere is right only while the client has seen nothing."""
    if isinstance(error, NodeFault):
        retry = before_first_byte and error.kind == "node_garbage"
        return NodeFailed(f"The node failed: {error.message}.", kind=error.kind, should_retry=retry or None)
    silent = isinstance(error, NodeTimeout)
    # A node that is silent after the request may still be at work on it: asking another one would double it.
    retry = before_first_byte and not (silent and error.phase in (Phase.HEAD, Phase.BODY))
    return NodeFailed(
        f"The node broke the answer off: {error.reason}. Nothing is wrong with the request; try again.",
        status=504 if silent else 502,
        kind="node_timeout" if silent else "node_failed",
        should_retry=retry or None,
    )

"""The relay: from a seat to the client's bytes. It always speaks the native API towards the node.

A stream ends well only with the node's `done: true`. Before the first byte a failure may be tried on another
node; after it the client is told in its dialect. A native client gets the node's bytes untouched.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from bridge import admission, metrics
from bridge.dialects import counts, node_lines
from bridge.dialects.counts import Counts
from bridge.dialects.inner import BadRequest, Encoder, Inner, NodeFault
from bridge.dialects.ndjson import LastLine, LineSplitter, LineTooLong
from bridge.errors import BridgeError, NodeFailed, NodeRefused
from bridge.exchange import Exchange
from bridge.plane import DataPlane
from bridge.transport import NodeError, NodeTimeout, Phase, Reply
from scheduler.board.interface import Seat, Ticket

log = logging.getLogger(__name__)

BRIDGES_FAULT = frozenset({401, 407})  # statuses: a proxy before the node does not let the bridge in
ATTEMPTS = 3  # nodes tried for one request before the client hears of it
DONE = b'"done":true'
NO_END = NodeFault("the node ended the stream without its end mark", kind="node_garbage")
ERROR_LINE = b'{"error":'
JSON_HEADERS = [(b"content-type", b"application/json"), (b"accept", b"application/x-ndjson")]


@dataclass(slots=True)
class Job:
    """One inner request on its way to a node and back."""

    plane: DataPlane
    exchange: Exchange
    inner: Inner
    ticket: Ticket
    encoder: Encoder
    nodes: frozenset[str]  # that hold the model
    reply: Reply | None = None
    started: bool = False  # the stream's opening bytes are out
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
        metrics.RETRIES.inc()
        self.plane.suspect(node)
        avoid = self.ticket.avoid | {node}
        # Where no other node holds the model, the same one gets another chance at once.
        self.ticket = replace(self.ticket, avoid=avoid if self.nodes - avoid else frozenset())

    async def _send(self, seat: Seat) -> Reply:
        plane, inner = self.plane, self.inner
        dress(inner, seat, plane.keep_alive)
        trace, headers = self.exchange.trace, JSON_HEADERS
        if trace is not None:
            headers = [*JSON_HEADERS, trace.call(seat.node)]
        try:
            reply = await plane.transport.send(
                plane.origin(seat.node),
                b"POST",
                b"/api/" + inner.route.encode(),
                headers,
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
        if reply.status in BRIDGES_FAULT or reply.status < 400:
            # Not the client's key is wrong, as a 401 would tell it, but what the node's row says.
            raise NodeFailed(
                f"What stands before the node answered {reply.status}: an operator has to look at its address"
                " and headers.",
                status=502,
                kind="node_refuses",
                should_retry=True,
            )
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
    """Give the body what every call for this resident carries. Its dialect has taken out already what a
    client wrote of it (runner options, keep_alive, shift): another value reloads the model."""
    body = inner.body
    body["options"] = {**(body.get("options") or {}), **seat.options}
    body["model"] = seat.model
    body["keep_alive"] = keep_alive


async def untouched(job: Job, reply: Reply) -> AsyncGenerator[bytes, None]:
    """The node's bytes as they come. Only the last line is remembered, so that the record is written before
    the client sees `done`, and so that a stream without it is told from one that ended well."""
    exchange, last = job.exchange, LastLine()
    try:
        async for chunk in reply:
            if exchange.first_token_s is None:
                exchange.first_token()
            exchange.lines += chunk.count(b"\n")
            if last.feed(chunk) or DONE in chunk:
                settle_done(exchange, last.line())
            yield chunk
        if exchange.outcome is None:
            yield ended_badly(job, last.line())
    except LineTooLong as error:
        yield b"\n" + broke_off(job, NodeFault(str(error), kind="node_garbage"))
    except NodeError as error:
        yield b"\n" * last.cut + broke_off(job, error)


def settle_done(exchange: Exchange, line: bytes) -> None:
    """Count and write the record, if this is the node's end mark and not an argument that reads like it."""
    try:
        reply = node_lines.parse(line)
    except NodeFault:
        return
    if reply.get("done") is True:
        exchange.counts = counts.of(reply)
        exchange.finish("answered", reason=done_reason(exchange.counts))


def ended_badly(job: Job, line: bytes) -> bytes:
    """The node closed the stream without `done: true`. Where its last line said why, the client has it."""
    if line.startswith(ERROR_LINE):
        job.exchange.finish("failed", reason="node_error")
        return b""
    return broke_off(job, NO_END)


def broke_off(job: Job, error: NodeError | NodeFault) -> bytes:
    """The end of a stream that the client must not take for a good one."""
    fault = failed(error, before_first_byte=False)
    job.exchange.finish("failed", reason=fault.kind)
    log.warning("request %s: %s", job.exchange.id, fault)
    return job.encoder.failure(fault.failure)


async def encoded(job: Job, reply: Reply) -> AsyncGenerator[bytes, None]:
    """The node's lines as the client's dialect; what came before a failure is passed on before it."""
    encoder, splitter = job.encoder, LineSplitter()
    out = [] if job.started else [encoder.start()]
    try:
        async for chunk in reply:
            for line in splitter.feed(chunk):
                out.append(encoder.event(line))
                job.exchange.lines += 1
            job.exchange.first_token()
            if encoder.finished:
                job.exchange.counts = encoder.counts
                job.exchange.finish("answered", reason=done_reason(encoder.counts))
            if data := b"".join(out):
                yield data
            out = []
        if not encoder.finished:
            yield broke_off(job, NO_END)
    except LineTooLong as error:
        fault = NodeFault(f"the node sent a line that is too long: {error}", kind="node_garbage")
        yield b"".join(out) + broke_off(job, fault)
    except (NodeError, NodeFault) as error:
        if any(out):
            job.exchange.first_token()
        yield b"".join(out) + broke_off(job, error)


def done_reason(counted: Counts | None) -> str:
    return counted.done_reason if counted else ""


def failed_late(job: Job, error: BridgeError | BadRequest) -> bytes:
    """The end of a stream whose headers are out, and that never gets a node's answer."""
    fault = error if isinstance(error, BridgeError) else BridgeError(error.message, status=error.status)
    inside = fault.source == "node"
    job.exchange.finish("failed" if inside else "refused", reason=fault.kind, status=fault.status)
    return job.encoder.failure(fault.failure)


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

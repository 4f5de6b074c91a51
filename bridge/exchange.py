"""One API request from arrival to its usage record: what is known about it, and its one ending."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bridge import metrics
from bridge.dialects.counts import Counts

if TYPE_CHECKING:
    from bridge.dialects.failure import Failure
    from bridge.dialects.inner import Dialect
    from bridge.grants import Grant
    from bridge.tracing import Trace
    from scheduler.board.interface import Allowance, Seat

Outcome = Literal["answered", "refused", "cancelled", "failed"]
MS = 1e-6  # nanoseconds to milliseconds


@dataclass(slots=True, kw_only=True)
class Exchange:
    """`finish` ends it with exactly one record; whoever comes second changes nothing."""

    id: str  # request id
    address: str
    path: str
    dialect: Dialect
    emit: Callable[[dict[str, Any]], None]  # takes the usage record
    release: Callable[[str, int | None], None]  # gives seat or place back: ticket, tokens used
    started: float = field(default_factory=time.perf_counter)
    at: float = field(default_factory=time.time)
    endpoint: str = ""
    grant: Grant | None = None
    key: str = ""  # public id, also of a key that was refused
    client: str = ""  # first word of the User-Agent
    unrecorded: bool = False
    model: str = ""
    stream: bool = False
    ticket: str | None = None  # set while the board holds something for this request
    seat: Seat | None = None
    allowance: Allowance | None = None
    queued_s: float = 0.0
    first_token_s: float | None = None  # from arrival
    lines: int = 0  # lines of the node's stream so far: about one token each
    prompt_estimate: int = 0  # tokens
    ignored: str = ""  # names in X-Bridge-Next-Model that mean no model here
    counts: Counts | None = None
    served: Callable[[str], None] | None = None  # told the node that answered
    learn: Callable[[int], None] | None = None  # told the prompt tokens that the node counted
    break_off: Callable[[Failure], bytes] | None = None  # the end of a stream that is no good end
    trace: Trace | None = None  # where OpenTelemetry is on
    outcome: Outcome | None = None

    def first_token(self) -> None:
        if self.first_token_s is None:
            self.first_token_s = time.perf_counter() - self.started

    def finish(self, outcome: Outcome, *, reason: str = "", status: int = 200) -> None:
        """Write the record and give back what the board holds. Never waits."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        counts = self.counts or self._so_far()
        metrics.ended(self, counts, outcome, reason)
        if not self.unrecorded:
            record = self._record(outcome, reason, status, counts)
            self.emit(record)
            if self.trace is not None:
                self.trace.end(record)
        if self.served is not None and self.seat is not None and outcome == "answered":
            self.served(self.seat.node)
        if self.learn is not None and self.counts is not None:
            self.learn(self.counts.prompt_tokens)
        if self.ticket is not None:
            used = counts.prompt_tokens + counts.output_tokens
            self.release(self.ticket, used if self.seat is not None else None)
            self.ticket = None

    def _so_far(self) -> Counts:
        """What a stream used that broke off: the node never said, so lines stand for tokens."""
        began = self.first_token_s is not None
        return Counts(
            prompt_tokens=self.prompt_estimate if began else 0,
            output_tokens=self.lines if began else 0,
        )

    def _record(self, outcome: Outcome, reason: str, status: int, counts: Counts) -> dict[str, Any]:
        grant, seat = self.grant, self.seat
        return {
            "request_id": self.id,
            "at": self.at,
            "key": grant.id if grant else self.key,
            "key_name": grant.name if grant else "",
            "team": grant.team if grant else "",
            "model": self.model,
            "node": seat.node if seat else "",
            "dialect": self.dialect.name.partition("-")[0],
            "route": self.endpoint or self.path[:64],
            "stream": self.stream,
            "prompt_tokens": counts.prompt_tokens,
            "cached_tokens": counts.cached_tokens or 0,
            "output_tokens": counts.output_tokens,
            "queue_ms": round(self.queued_s * 1000),
            "load_ms": round(counts.load_ns * MS),
            "prompt_eval_ms": round(counts.prompt_eval_ns * MS),
            "eval_ms": round(counts.eval_ns * MS),
            "ttft_ms": None if self.first_token_s is None else round(self.first_token_s * 1000),
            "total_ms": round((time.perf_counter() - self.started) * 1000),
            "load": seat.load if seat else "",
            "outcome": outcome,
            "reason": reason,
            "status": status,
            "address": self.address,
            "client": self.client,
        }

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What happened to this request so far, as response headers."""
        out = [(b"x-request-id", self.id.encode())]
        if self.seat is not None:
            out += [
                (b"x-bridge-node", self.seat.node.encode()),
                (b"x-bridge-load", self.seat.load.encode()),
                (b"x-bridge-queue-ms", b"%d" % round(self.queued_s * 1000)),
                (b"server-timing", b"queue;dur=%d" % round(self.queued_s * 1000)),
            ]
        if self.ignored:
            out.append((b"x-bridge-next-model-ignored", self.ignored.encode()))
        if self.allowance is not None:
            out += _ratelimit(self.allowance)
        return out


def _ratelimit(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    """The x-ratelimit-* family of OpenAI, for what is limited; resets in seconds."""
    out: list[tuple[bytes, bytes]] = []
    for kind, limit, remaining, reset in (
        (b"requests", allowance.requests_limit, allowance.requests_remaining, allowance.requests_reset_s),
        (b"tokens", allowance.tokens_limit, allowance.tokens_remaining, allowance.tokens_reset_s),
    ):
        if limit is not None:
            out += [
                (b"x-ratelimit-limit-" + kind, b"%d" % limit),
                (b"x-ratelimit-remaining-" + kind, b"%d" % (remaining or 0)),
                (b"x-ratelimit-reset-" + kind, b"%.3fs" % (reset or 0.0)),
            ]
    return out

"""Which beginnings of prompts come again and again: seen in a sample of the traffic, kept as hashes.

On the way of a request there is one comparison of times; at most ten requests a second leave what their
prompt begins with in a short list. A thread counts them and writes rows of WarmPrefix: a hash, until an
operator lets the text of one be learned, or of all (BRIDGE_WARM_LEARN=text).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, connection

from bridge.dialects.inner import Inner
from scheduler.models import WarmPrefix
from scheduler.models.warm_prefix import MOST_BYTES, prefix_digest, said_think

log = logging.getLogger(__name__)

EVERY_S = 0.1  # between requests that are looked at
FLUSH_S = 15.0
MOST_SAMPLES = 256  # between two flushes
LEAST_BYTES = 1024  # of a prefix that is worth a replay: some 250 tokens
LEAST_SEEN = 3  # times, before there is a row
MOST_KNOWN = 500  # prefixes counted
MOST_ROWS = 500  # learned from traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a prompt begins with. The texts are those of the request, not copies."""

    at: float  # Unix seconds
    model: str  # catalogue name
    route: str  # chat or generate
    system: str
    tools: Sequence[Mapping[str, Any]]
    think: object


@dataclass(slots=True)
class Known:
    """A prefix that was seen; its text is the latest request's."""

    sample: Sample
    bytes: int
    seen: int = 0


class Prefixes:
    """`look` belongs to the event loop, `flush` to one thread at a time."""

    def __init__(self, mode: str) -> None:
        self._mode = mode  # off, hash or text
        self.next_at = float("inf") if mode == "off" else 0.0
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()  # by model, hash; latest last

    def look(self, at: float, model: str, inner: Inner) -> None:
        """Take the beginning of this request's prompt down. Call it when `at` has reached `next_at`."""
        sample = beginning(at, model, inner)
        if sample is not None:
            self.next_at = at + EVERY_S
            self._samples.append(sample)

    async def run(self) -> None:
        """Write what was seen, now and then, for ever."""
        while True:
            await asyncio.sleep(FLUSH_S)
            if self._samples:
                await asyncio.to_thread(self._flush_once)

    def _flush_once(self) -> None:
        try:
            self.flush()
        except DatabaseError as error:
            log.warning("prefixes: the database is away (%s); what was seen is counted later", error)
        finally:
            connection.close()

    def flush(self) -> None:
        """Count the samples and bring the rows up to date. Raises DatabaseError; nothing is lost by it."""
        samples = [self._samples.popleft() for _ in range(len(self._samples))]
        fresh: Counter[tuple[str, str]] = Counter()
        for sample in samples:
            name, size = self._count(sample)
            if LEAST_BYTES <= size <= MOST_BYTES:
                fresh[name] += 1
        for name in fresh:
            if self._known[name].seen >= LEAST_SEEN:
                self._write(name)

    def _count(self, sample: Sample) -> tuple[tuple[str, str], int]:
        digest, size = prefix_digest(sample.route, sample.system, sample.tools, said_think(sample.think))
        name = sample.model, digest
        known = self._known.setdefault(name, Known(sample, size))
        known.sample = sample
        known.seen += 1
        self._known.move_to_end(name)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return name, size

    def _write(self, name: tuple[str, str]) -> None:
        known = self._known[name]
        row = WarmPrefix.objects.filter(model=name[0], digest=name[1]).first() or self._row(name, known)
        if row is None:
            return
        row.seen += known.seen
        row.last_seen_at = datetime.fromtimestamp(known.sample.at, UTC)
        known.seen = 0
        wanted = row.learn or self._mode == "text"
        if wanted and not row.system and not row.tools:
            row.take(known.sample.system, known.sample.tools)
            row.save()
        else:
            row.save(update_fields=["seen", "last_seen_at"])

    def _row(self, name: tuple[str, str], known: Known) -> WarmPrefix | None:
        """A new row; None where there are too many."""
        if WarmPrefix.objects.filter(source=WarmPrefix.Source.TRAFFIC).count() >= MOST_ROWS:
            return None
        return WarmPrefix.objects.create(
            model=name[0],
            digest=name[1],
            route=known.sample.route,
            think=said_think(known.sample.think),
            source=WarmPrefix.Source.TRAFFIC,
            bytes=known.bytes,
        )


def beginning(at: float, model: str, inner: Inner) -> Sample | None:
    """What the prompt begins with; None where it begins with nothing that others could share."""
    body = inner.body
    if inner.route == "chat":
        messages: Sequence[Mapping[str, Any]] = body.get("messages") or ({},)
        first = messages[0]
        system = first.get("content") if first.get("role") == "system" and "images" not in first else ""
        tools = body.get("tools") or ()
    elif inner.route == "generate" and not body.get("raw") and not body.get("template"):
        system, tools = body.get("system") or "", ()
    else:
        return None
    if not isinstance(system, str) or not (system or tools):
        return None
    return Sample(at=at, model=model, route=inner.route, system=system, tools=tools, think=body.get("think"))

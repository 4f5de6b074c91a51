"""A bridge before fake nodes for chaos tests, with clients that count what became of each request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from scheduler.simulator.process import NodeProcess
from tests.serving import Bridge

PATIENCE_S = 60.0


@dataclass
class Answers:
    """What clients saw, by model and kind: answered, a status, error, cut, or left by their own wish."""

    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)  # of refusals and errors
    retry_after: list[str] = field(default_factory=list)  # of refusals
    waits_s: list[float] = field(default_factory=list)  # to the first byte of an answer

    def count(self, kind: str) -> int:
        return sum(number for (_, what), number in self.seen.items() if what == kind)


class Client:
    """An app with a key. Every request ends in exactly one count."""

    def __init__(self, bridge: Bridge, key: str, answers: Answers) -> None:
        self.answers = answers
        self._http = httpx.AsyncClient(
            base_url=bridge.url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=PATIENCE_S,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        )

    async def ask(self, model: str, *, tokens: int = 4, num_ctx: int | None = None) -> str:
        """One streamed chat; what became of it."""
        options = {"num_predict": tokens} | ({} if num_ctx is None else {"num_ctx": num_ctx})
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "options": options}
        began = asyncio.get_running_loop().time()
        kind = "cut"
        with contextlib.suppress(httpx.TransportError):
            async with self._http.stream("POST", "/api/chat", json=body) as response:
                self.answers.waits_s.append(asyncio.get_running_loop().time() - began)
                kind = await self._read(response)
        self.answers.seen[model, kind] += 1
        return kind

    async def _read(self, response: httpx.Response) -> str:
        if response.status_code != 200:
            self.answers.texts.append((await response.aread()).decode())
            self.answers.retry_after.append(response.headers.get("retry-after", ""))
            return str(response.status_code)
        last: dict[str, object] = {}
        async for line in response.aiter_lines():
            if line.strip():
                last = json.loads(line)
        if "error" in last:
            self.answers.texts.append(str(last["error"]))
            return "error"
        return "answered" if last.get("done") is True else "cut"

    async def leave(self, model: str, after_s: float) -> None:
        """Ask, and go away before the answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(after_s):
                body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
                await self._http.post("/api/chat", json=body)
        self.answers.seen[model, "left"] += 1

    async def aclose(self) -> None:
        await self._http.aclose()


class Fleet:
    """A served bridge and its nodes, n1, n2, ..."""

    def __init__(self, bridge: Bridge, nodes: dict[str, NodeProcess], key: str) -> None:
        self.bridge = bridge
        self.nodes = nodes
        self.key = key
        self.answers = Answers()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = Client(self.bridge, self.key, self.answers)
        try:
            yield client
        finally:
            await client.aclose()

    def untouched(self) -> None:
        """Invariants 2 to 4, as the nodes saw them: the scheduler alone decided what is loaded."""
        for name, node in self.nodes.items():
            if not node.alive:
                continue
            report, slots = node.report(), node.state()
            assert report["evictions_total"] == 0, (name, report["evictions"])
            assert report["reloads_total"] == 0, (name, report["reloads"])
            assert report["aborted_loads_total"] == 0, (name, report["aborted_loads"])
            assert report["peak_pending"] <= 1, name
            assert slots["vram_used"] <= slots["vram"], name

    def ledger(self, *fields: str) -> list[tuple[object, ...]]:
        """Rows of the ledger, oldest first."""
        with contextlib.closing(sqlite3.connect(self.bridge.data_dir / "bridge.sqlite3")) as database:
            return database.execute(
                f"SELECT {', '.join(fields)} FROM scheduler_ledgerentry ORDER BY id"
            ).fetchall()


def serve(directory: Path, nodes: dict[str, NodeProcess], *, slots: int, **env: str) -> Iterator[Fleet]:
    """Start a bridge whose node table says the truth about these nodes."""
    bridge = Bridge(directory, nodes=[], **env)
    try:
        for name, node in nodes.items():
            vram = f"{node.state()['vram'] // 2**20}MiB"
            bridge.manage("nodes", "add", node.url, "--name", name, "--vram", vram, "--slots", str(slots))
        key = bridge.key("chaos")
        bridge.start()
        yield Fleet(bridge, nodes, key)
    finally:
        bridge.close()

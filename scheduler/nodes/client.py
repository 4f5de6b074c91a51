from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from scheduler.models.access import OPEN, Access
from scheduler.nodes import replies
from scheduler.nodes.errors import NodeError, NodeGarbage, NodeTimeout
from scheduler.nodes.exchange import Exchange
from scheduler.nodes.replies import BadReply, RunningModel, ShownModel, TaggedModel

QUICK_S = 5.0  # for what a healthy node answers from memory
SHOW_S = 15.0
VERBOSE_S = 60.0
POLL_S = (0.05, 0.5)  # seconds between looks at /api/ps: first, and at most

T = TypeVar("T")
KeepAlive = int | float | str  # a number is seconds (negative: for ever), a string a Go duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A load that the node confirmed."""

    seconds: float  # by our clock, from the request to the answer
    node_seconds: float | None  # load_duration, where the node states it


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A generation of one token that came to its end."""

    seconds: float
    load_seconds: float | None  # above a few ms: the node had to load or to wait for a load


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """A prompt that a runner has read."""

    seconds: float  # by our clock
    prompt_tokens: int  # cached ones included
    cached_tokens: int  # 0 also where the node does not say
    prompt_eval_s: float


class NodeClient:
    """Control calls to one node: observe, load, unload, probe. All methods raise NodeFailure.

    A load belongs to the request that began it (Ollama aborts it with its connection): cancelling `load` or
    letting its deadline pass stops the load.
    """

    def __init__(
        self,
        name: str,
        url: str,
        access: Access = OPEN,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self.access = access
        self._exchange = Exchange(name, url, access, transport=transport)

    async def aclose(self) -> None:
        await self._exchange.aclose()

    async def version(self) -> str:
        return self._typed(replies.read_version, await self._get("/api/version", QUICK_S))

    async def tags(self) -> list[TaggedModel]:
        return self._typed(replies.read_tags, await self._get("/api/tags", SHOW_S))

    async def ps(self, deadline_s: float = QUICK_S) -> list[RunningModel]:
        """What is loaded now. It can be slow while a runner starts or hangs: keep the last good answer."""
        return self._typed(replies.read_ps, await self._get("/api/ps", deadline_s))

    async def show(self, model: str, *, verbose: bool | None = None) -> ShownModel:
        """None: verbose, which is several MB, only where a number hides behind a null array."""
        shown = await self._show(model, bool(verbose))
        if verbose is None and shown.needs_verbose:
            return await self._show(model, verbose=True)
        return shown

    async def load(
        self,
        model: str,
        *,
        options: Mapping[str, object],
        keep_alive: KeepAlive,
        deadline_s: float,
        embedding: bool = False,
        shift: bool | None = None,
    ) -> Loaded:
        """Load the model with its profile; returns when it is ready. `embedding`: it can do nothing else."""
        body: dict[str, Any] = {"model": model, "options": dict(options), "keep_alive": keep_alive}
        generate = body | {"stream": False} | ({} if shift is None else {"shift": shift})
        start = time.monotonic()
        try:
            path, sent = ("/api/embed", body) if embedding else ("/api/generate", generate)
            reply = await self._post(path, sent, deadline_s)
        except NodeError as error:
            if embedding or not _cannot_generate(error):
                raise
            reply = await self._post("/api/embed", body, deadline_s - (time.monotonic() - start))
        if not reply.get("done", "embeddings" in reply):
            raise NodeGarbage(self.name, f"the load of {model} was answered without done: true")
        return Loaded(seconds=time.monotonic() - start, node_seconds=_seconds(reply, "load_duration"))

    async def unload(self, model: str, *, deadline_s: float) -> float:
        """Unload the model and wait until it is gone; the seconds that took. Its generations end first."""
        start = time.monotonic()
        body = {"model": model, "keep_alive": 0, "stream": False}
        await self._post("/api/generate", body, min(QUICK_S, deadline_s))
        pause = POLL_S[0]
        while await self._still_there(model):
            if time.monotonic() - start + pause > deadline_s:
                raise NodeTimeout(self.name, f"{model} is still loaded {deadline_s:g} s after its unload")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_S[1])
        return time.monotonic() - start

    async def probe(
        self,
        model: str,
        *,
        options: Mapping[str, object],
        keep_alive: KeepAlive,
        deadline_s: float,
        embedding: bool = False,
        shift: bool | None = None,
    ) -> Probed:
        """Generate one token (or embed one letter): the proof that the runner still works."""
        body: dict[str, Any] = {"model": model, "options": dict(options), "keep_alive": keep_alive}
        start = time.monotonic()
        if embedding:
            reply = await self._post("/api/embed", body | {"input": "a"}, deadline_s)
        else:
            one = {"prompt": "a", "raw": True, "stream": False, "options": {**options, "num_predict": 1}}
            shifted = {} if shift is None else {"shift": shift}
            reply = await self._post("/api/generate", body | one | shifted, deadline_s)
        if not reply.get("done", bool(reply.get("embeddings"))):
            raise NodeGarbage(self.name, f"the probe of {model} was answered without done: true")
        return Probed(seconds=time.monotonic() - start, load_seconds=_seconds(reply, "load_duration"))

    async def warm(self, path: str, body: Mapping[str, Any], *, deadline_s: float) -> Warmed:
        """Have a prompt read and one token generated. Cancelling it ends the generation."""
        start = time.monotonic()
        reply = await self._post(path, body, deadline_s)
        if not reply.get("done"):
            raise NodeGarbage(self.name, f"{path} was answered without done: true")
        return Warmed(
            seconds=time.monotonic() - start,
            prompt_tokens=_count(reply, "prompt_eval_count"),
            cached_tokens=_count(reply, "prompt_eval_cached_count"),
            prompt_eval_s=_seconds(reply, "prompt_eval_duration") or 0.0,
        )

    async def _show(self, model: str, verbose: bool) -> ShownModel:
        body = {"model": model, "verbose": verbose}
        return self._typed(
            replies.read_show, await self._post("/api/show", body, VERBOSE_S if verbose else SHOW_S)
        )

    async def _still_there(self, model: str) -> bool:
        """A look that the node does not answer in time counts as yes."""
        try:
            return any(running.name == model for running in await self.ps())
        except NodeTimeout:
            return True

    async def _get(self, path: str, deadline_s: float) -> Any:
        return await self._exchange.json("GET", path, deadline_s=deadline_s)

    async def _post(self, path: str, body: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        reply = await self._exchange.json("POST", path, body, deadline_s=max(deadline_s, 0.0))
        if not isinstance(reply, dict):
            raise NodeGarbage(self.name, f"{path} answered with JSON that is not an object")
        return reply

    def _typed(self, read: Callable[[object], T], reply: object) -> T:
        try:
            return read(reply)
        except BadReply as error:
            raise NodeGarbage(self.name, str(error)) from None


def _cannot_generate(error: NodeError) -> bool:
    return error.status == 400 and "does not support" in error.text


def _seconds(reply: Mapping[str, Any], field: str) -> float | None:
    """Durations are nanoseconds, and left out when 0."""
    value = reply.get(field)
    return value / 1e9 if isinstance(value, int | float) else None


def _count(reply: Mapping[str, Any], field: str) -> int:
    """Counts are left out when 0."""
    value = reply.get(field)
    return value if isinstance(value, int) else 0

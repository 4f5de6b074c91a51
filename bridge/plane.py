"""The data plane of one process: what every request meets, made once and held here.

Nothing in it touches the database on the event loop: keys and catalogue are snapshots that threads keep
fresh, usage goes to the outbox, limits and seats are the board's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NoReturn

from bridge import auth, metrics
from bridge.addresses import client_address, networks, within
from bridge.affinity import Affinity, conversation_of
from bridge.auth import Denied
from bridge.catalogue import Address, Catalogue, Entry
from bridge.credentials import Credentials
from bridge.dialects.inner import Dialect, Inner
from bridge.env import VALUES as ENV
from bridge.errors import NotAuthorised, NotFound, Refused
from bridge.estimates import OUTPUT_ROOM, Estimates, context_needed
from bridge.exchange import Exchange
from bridge.grants import Grant
from bridge.hints import Told, told
from bridge.hot.client import Client
from bridge.hot.request import HotRequest, peer
from bridge.keyring import KeyRingKeeper
from bridge.prefixes import Prefixes
from bridge.purse import EMPTY as NOTHING_SPENT
from bridge.purse import Purse
from bridge.snapshots import Keeper
from bridge.throttle import Throttle
from bridge.tracing import Tracing
from bridge.transport import NodeTransport, Origin
from bridge.usage.outbox import Outbox
from scheduler.board.interface import Board, BoardDown, Ticket

__all__ = ["DataPlane", "Entry", "current"]

log = logging.getLogger(__name__)

SUSPECT_S = 2.0  # a node that failed a request is left out for this long, until the scheduler has looked
RENEW_S = 1.0
SAMPLE_S = 1.0


class DataPlane:
    """Made by bridge.lifespan. `start` and `stop` belong to the event loop that serves."""

    def __init__(
        self,
        *,
        keys: KeyRingKeeper,
        catalogue: Keeper[Catalogue],
        board: Board,
        transport: NodeTransport,
        outbox: Outbox,
    ) -> None:
        self.keys = keys
        self.catalogue_keeper = catalogue
        self.board = board
        self.transport = transport
        self.outbox = outbox
        self.holder = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(3)}"
        self.proxies = networks(ENV["BRIDGE_TRUSTED_PROXIES"])
        self.certificate_header: bytes = ENV["BRIDGE_CERTIFICATE_HEADER"].lower().encode()
        self.body_limit: int = ENV["BRIDGE_BODY_LIMIT"]
        self.heartbeat_s: float = ENV["BRIDGE_HEARTBEAT"]
        self.deadline_s: float = ENV["BRIDGE_DEADLINE"]
        self.first_token_timeout_s: float = ENV["BRIDGE_FIRST_TOKEN_TIMEOUT"]
        self.idle_timeout_s: float = ENV["BRIDGE_IDLE_TIMEOUT"]
        self.show_timeout_s = 10.0
        self.send_timeout_s: float = ENV["BRIDGE_SEND_TIMEOUT"]
        self.body_timeout_s: float = ENV["BRIDGE_BODY_TIMEOUT"]
        self.allow_cloud: bool = ENV["BRIDGE_ALLOW_CLOUD"]
        self.keep_alive: int | str = _keep_alive(ENV["BRIDGE_KEEP_ALIVE"])
        self.clients: set[Client] = set()
        self.draining = False
        self.leaving = False  # another process has the socket: what still comes here is answered
        self.estimates = Estimates()
        self.affinity = Affinity()
        self.prefixes = Prefixes(ENV["BRIDGE_WARM_LEARN"])
        self.throttle = Throttle()
        self._origins: dict[str, tuple[Address, Origin]] = {}  # by node
        self._suspects: dict[str, float] = {}  # node: monotonic time until which it is left out
        self._releases: asyncio.Queue[tuple[str, int | None]] = asyncio.Queue()
        self.purse: Callable[[], Purse] = lambda: NOTHING_SPENT
        self.tracing: Tracing | None = None
        self.forgotten: Callable[[], Awaitable[None]] | None = None  # the board may have lost the budgets
        self._tasks: list[asyncio.Task[None]] = []

    # What a request asks.

    @property
    def catalogue(self) -> Catalogue:
        return self.catalogue_keeper.value

    def exchange(self, request: HotRequest, dialect: Dialect) -> Exchange:
        exchange = Exchange(
            id=request.id,
            address=self.address(request),
            path=request.path,
            dialect=dialect,
            emit=self.outbox.append,
            release=self.release,
        )
        if self.tracing is not None:
            exchange.trace = self.tracing.begin(request.method, request.header(b"traceparent"))
        return exchange

    def address(self, request: HotRequest) -> str:
        """Who is asking; X-Forwarded-For counts as far as proxies are trusted."""
        if not self.proxies:
            return peer(request.scope)
        forwarded = b",".join(value for name, value in request.raw_headers if name == b"x-forwarded-for")
        return client_address(peer(request.scope), forwarded.decode("latin-1"), self.proxies)

    def authorise(self, request: HotRequest, exchange: Exchange, scope: str, caller: Credentials) -> None:
        """Set the exchange's grant. Raises NotAuthorised with what to do about it."""
        if self.draining:
            raise Refused(
                "This bridge is being stopped; try again in a moment.", kind="draining", retry_after_s=1
            )
        exchange.client = request.header(b"user-agent")[:60].decode("latin-1").partition(" ")[0]
        verdict = self._verdict(request, caller, exchange)
        if isinstance(verdict, Denied):
            self._deny(verdict.for_cli() if caller.cli else verdict, exchange)
        else:
            exchange.grant = verdict
            if scope and not verdict.allows(scope):
                self._deny(auth.lacks_scope(verdict, scope), exchange)

    def _verdict(self, request: HotRequest, caller: Credentials, exchange: Exchange) -> Grant | Denied:
        certificate = self.certificate(request) if self.certificate_header else ""
        return self.keys.current.authorise(caller.token, exchange.address, exchange.at, certificate)

    def certificate(self, request: HotRequest) -> str:
        """The subject of the client's certificate, said by a trusted proxy; two such headers are forged."""
        named = [value for name, value in request.raw_headers if name == self.certificate_header]
        if len(named) != 1 or not within(peer(request.scope), self.proxies):
            return ""
        return named[0].decode("utf-8", "replace").strip()

    def _deny(self, denied: Denied, exchange: Exchange) -> NoReturn:
        exchange.key = denied.key
        if denied.status == 401 or (denied.status == 403 and exchange.grant is None):
            wait_s = self.throttle.failed(exchange.address, exchange.at)
            if wait_s is not None:
                exchange.unrecorded = True  # a flood of bad keys must not fill the database
                raise NotAuthorised(
                    f"Too many requests with bad keys from {exchange.address}. {denied.message}",
                    status=429,
                    kind="throttled",
                    retry_after_s=wait_s,
                )
        retry_after_s = 2 if denied.status == 503 else None
        raise NotAuthorised(
            denied.message, status=denied.status, kind=denied.reason, retry_after_s=retry_after_s
        )

    def entry(self, name: str, exchange: Exchange) -> Entry:
        """The catalogue entry that a client's model name means. Raises NotFound and NotAuthorised."""
        grant = exchange.grant
        assert grant is not None
        found = self.catalogue.resolve(name)
        if found is None:
            absence = self.catalogue.absence(name, grant.may_use)
            status = {"bad_name": 400, "cloud": 403}.get(absence.kind, 404)
            raise NotFound(
                absence.sentence,
                status=status,
                kind=f"model_{absence.kind}",
                code="model_not_found",
                param="model",
            )
        if not grant.may_use(found.name) and not grant.may_use(found.listed):
            self._deny(auth.lacks_model(grant, name), exchange)
        exchange.model = found.name
        return found

    def ticket(self, request: HotRequest, exchange: Exchange, inner: Inner, entry: Entry) -> Ticket:
        """What this request asks the board for. Raises BadInput when no context can hold it."""
        grant = exchange.grant
        assert grant is not None
        embeds = inner.route in ("embed", "embeddings")
        prompt = self.estimates.tokens(entry.name, inner)
        num_ctx = context_needed(inner, entry, prompt, self.estimates.surely(entry.name, inner))
        exchange.prompt_estimate = prompt
        if not embeds and not inner.images:
            exchange.learn = partial(self.estimates.learn, entry.name, inner.prompt_bytes)
        self.purse().check(grant, exchange.at)
        limits = grant.limits(exchange.at)
        said = told(request.raw_headers, self.catalogue, grant)
        exchange.ignored = said.ignored
        if exchange.at >= self.prefixes.next_at and not embeds:
            self.prefixes.look(exchange.at, entry.name, inner)
        if limits.budgets and not embeds:
            bound_output(inner, num_ctx or entry.num_ctx)
        return Ticket(
            id=exchange.id,
            holder=self.holder,
            key=grant.account,
            model=entry.name,
            num_ctx=num_ctx,
            tokens=prompt + (0 if embeds else inner.max_tokens or OUTPUT_ROOM),
            deadline=exchange.at + self.deadline_s,
            priority=grant.priority,
            limits=limits,
            avoid=self._suspected(),
            prefer=self._preferred(said, exchange, inner, entry),
            session=said.session,
            next_models=said.models,
        )

    def _preferred(self, said: Told, exchange: Exchange, inner: Inner, entry: Entry) -> str | None:
        """The node that served the conversation last, where there is a choice."""
        if len(entry.nodes) < 2 or exchange.grant is None:
            return None
        conversation = conversation_of(exchange.grant.account, entry.name, said.session, inner)
        exchange.served = partial(self.affinity.served, conversation)
        return self.affinity.node(conversation)

    def _suspected(self) -> frozenset[str]:
        if not self._suspects:
            return frozenset()
        now = time.monotonic()
        return frozenset(node for node, until in self._suspects.items() if until > now)

    def origin(self, node: str) -> Origin:
        """Where the node listens. Raises Refused when it left the table a moment ago."""
        address = self.catalogue.nodes.get(node)
        if address is None:
            raise Refused(
                f"The node {node} was removed just now; try again.", kind="no_node", retry_after_s=1
            )
        held = self._origins.get(node)
        if held is not None and held[0] is address:
            return held[1]
        if address.access.fault:
            raise Refused(f"The node {node} cannot be called: {address.access.fault}.", kind="no_node")
        if len(self._origins) > 2 * len(self.catalogue.nodes):
            self._origins.clear()  # what is left over from nodes that are gone
        access = address.access
        origin = Origin.parse(address.url, headers=access.headers, ca=access.authority)
        self._origins[node] = (address, origin)
        return origin

    def suspect(self, node: str) -> None:
        """A request met this node dead: leave it out until the scheduler has looked at it."""
        now = time.monotonic()
        self._suspects = {n: until for n, until in self._suspects.items() if until > now}
        self._suspects[node] = now + SUSPECT_S

    def is_suspect(self, node: str) -> bool:
        return self._suspects.get(node, 0.0) > time.monotonic()

    def release(self, ticket: str, tokens: int | None) -> None:
        """End a ticket on the board, soon and without waiting for it here."""
        self._releases.put_nowait((ticket, tokens))

    # What goes on beside the requests.

    def start(self) -> None:
        for work in (self._settle(), self._renew(), self._sweep(), self._sample(), self.prefixes.run()):
            self._tasks.append(asyncio.ensure_future(self._watched(work)))

    async def stop(self) -> None:
        """End the background work once every settlement was carried out."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self._releases.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.transport.aclose()
        await self.board.aclose()

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # none of these may end in silence: seats would leak from then on
            log.exception("a background task of the data plane died; stopping this process")
            os.kill(os.getpid(), 15)

    async def _settle(self) -> None:
        while True:
            ticket, tokens = await self._releases.get()
            try:
                await self.board.settle(ticket, tokens)
            except BoardDown:
                log.warning("the board is away: %s is freed when its lease ends", ticket)
            finally:
                self._releases.task_done()

    async def _renew(self) -> None:
        while True:
            try:
                if not await self.board.renew(self.holder) and self.forgotten is not None:
                    await self.forgotten()
            except BoardDown:
                log.warning("the board is away: leases are not renewed")
            await asyncio.sleep(RENEW_S)

    async def _sample(self) -> None:
        sampler = metrics.Sampler(self)
        while True:
            await sampler.sample()
            await asyncio.sleep(SAMPLE_S)

    async def _sweep(self) -> None:
        """Cancel the work for clients that stopped reading: they hold a seat that others wait for. And give
        up those whose body does not come."""
        while True:
            await asyncio.sleep(1.0)
            silent = time.monotonic() - self.body_timeout_s
            for client in self.clients:
                if client.reading_since is not None and client.reading_since < silent:
                    client.stall()
            late = time.monotonic() - self.send_timeout_s
            for client in [c for c in self.clients if c.sending_since is not None and c.sending_since < late]:
                log.info("a client did not read for %.0f s; its request is cancelled", self.send_timeout_s)
                client.leave("client_stalled")


def bound_output(inner: Inner, num_ctx: int) -> None:
    """A key with a budget must not outspend what was reserved for it: an answer whose length the client left
    open may be as long as the context."""
    if inner.max_tokens is None:
        inner.max_tokens = num_ctx
        inner.body["options"] = {**(inner.body.get("options") or {}), "num_predict": num_ctx}


def _keep_alive(text: str) -> int | str:
    """Ollama takes seconds as a number and a duration as a string; "-1" as a string is an error."""
    try:
        return int(text)
    except ValueError:
        return text


_current: DataPlane | None = None


def current() -> DataPlane:
    """The data plane of this process."""
    assert _current is not None, "bridge.lifespan has not started the data plane"
    return _current


def install(plane: DataPlane | None) -> None:
    global _current
    _current = plane

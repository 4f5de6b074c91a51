"""The lean way in for /v1/* and /api/*: Django's request, view and response without its middleware chain.

Django's own handler costs a thread hop or two and, with its default middlewares, 2 ms for each request
(docs/performance.md). Sessions, CSRF and the rest have no meaning for a request that carries a key, so here a
request meets: its route, its key, its body, its view. ORM and sync_to_async are forbidden in what runs here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from bridge.credentials import Credentials, credentials
from bridge.dialects.inner import BadRequest, Dialect
from bridge.errors import BadInput, BridgeError, Cancelled, Refused
from bridge.exchange import Exchange
from bridge.hot.answer import Answer
from bridge.hot.client import DRAINING, OPERATOR, Client, Receive, Send
from bridge.hot.request import HotRequest
from bridge.hot.routes import Routes
from bridge.plane import DataPlane

log = logging.getLogger(__name__)

CLOSE = (b"connection", b"close")  # this process goes: the next request should reach another

LEAVE_S = 1.0  # how long a client whose request was cancelled may take to read that


class HotHandler:
    """An ASGI application. `dialect_of` says in which shape errors under a path are written."""

    def __init__(self, plane: DataPlane, routes: Routes, dialect_of: Callable[[str], Dialect]) -> None:
        self.plane = plane
        self.routes = routes
        self.dialect_of = dialect_of

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        caller = credentials(scope["headers"], scope["path"])
        if caller.path is not scope["path"]:
            scope = {**scope, "path": caller.path}
        request = HotRequest(scope)
        exchange = self.plane.exchange(request, self.dialect_of(caller.path))
        client = Client(receive, send, request.id)
        self.plane.clients.add(client)
        answer: Answer | None = None
        try:
            answer = await self._answer(request, exchange, client, caller)
            if self.plane.leaving or self.plane.draining:
                answer.raw_headers.append(CLOSE)
            await client.deliver(answer)
        except asyncio.CancelledError:
            if not client.gone:
                raise  # the server is stopping, and not the client leaving
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            if client.why in (OPERATOR, DRAINING):
                await take_leave(client, exchange, answer)
        finally:
            client.unwatch()
            self.plane.clients.discard(client)
            if answer is not None:
                answer.close()
                if not isinstance(answer.body, bytes):
                    await answer.body.aclose()
            exchange.finish("cancelled", reason=client.why, status=499)

    async def _answer(
        self, request: HotRequest, exchange: Exchange, client: Client, caller: Credentials
    ) -> Answer:
        try:
            route = self.routes.find(request.path, request.method)
            exchange.dialect, exchange.endpoint = route.dialect, route.endpoint
            if route.scope is not None:
                self.plane.authorise(request, exchange, route.scope, caller)
            request.client = client
            if route.whole_body:
                request.payload = await client.body(self.plane.body_limit)
                client.watch()
            return await route.view(request, exchange)
        except BadRequest as error:
            return refuse(
                exchange, BadInput(error.message, status=error.status, param=error.param, code=error.code)
            )
        except BridgeError as error:
            return refuse(exchange, error)
        except Exception:  # a fault of ours must not reach the client as a broken connection
            log.exception(
                "request %s failed inside the bridge", exchange.id, extra={"request_id": exchange.id}
            )
            return refuse(exchange, BridgeError())


async def take_leave(client: Client, exchange: Exchange, answer: Answer | None) -> None:
    """Tell a client, who is still there, why its request was ended. Its seat is free before that."""
    if answer is not None:
        answer.close()
    error = Cancelled(should_retry=False) if client.why == OPERATOR else cut_off()
    exchange.finish("cancelled", reason=client.why, status=499)
    last = failure_answer(exchange.dialect, error, exchange)
    if client.begun and exchange.break_off is not None:
        # Blank lines first: the stream may have ended in the middle of a line or of an event.
        last = Answer(200, [], b"\n\n" + exchange.break_off(error.failure))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_S):
            await client.deliver(last)


def cut_off() -> Refused:
    """The drain's time was over before the answer."""
    return Refused(
        "This bridge was stopped before the answer was there; try again in a moment.",
        kind=DRAINING,
        retry_after_s=1,
    )


def refuse(exchange: Exchange, error: BridgeError) -> Answer:
    """The error in the client's dialect, and the record of it."""
    inside = error.source == "node" or error.status == 500
    exchange.finish("failed" if inside else "refused", reason=error.kind, status=error.status)
    return failure_answer(exchange.dialect, error, exchange)


def failure_answer(dialect: Dialect, error: BridgeError, exchange: Exchange) -> Answer:
    status, headers, body = dialect.failure(error.failure, exchange.id)
    closing = [(b"connection", b"close")] if status == 408 else []  # what still comes is no next request
    return Answer(status, [*headers, *exchange.headers(), *closing], body)

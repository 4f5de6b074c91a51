"""The ASGI application: routes and manners of Ollama's HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from scheduler.simulator import control, embedding, listing, native, openai, store
from scheduler.simulator.decode import BadRequest, LateRefusal
from scheduler.simulator.exchange import TEXT, Exchange, Receive, Scope, Send, go_json
from scheduler.simulator.origins import answer_origin, host_allowed, is_same_origin
from scheduler.simulator.simulator import CloudRefusal, Simulator

Handler = Callable[[Simulator, Exchange], Awaitable[None]]


async def _root(sim: Simulator, exchange: Exchange) -> None:
    await exchange.respond(200, TEXT, b"Ollama is running")


_ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"HEAD": _root, "GET": _root},
    "/api/version": {"HEAD": listing.version, "GET": listing.version},
    "/api/status": {"GET": listing.cloud_status},
    "/api/tags": {"HEAD": listing.tags, "GET": listing.tags},
    "/api/ps": {"GET": listing.ps},
    "/api/show": {"POST": listing.show},
    "/api/me": {"POST": listing.whoami},
    "/api/generate": {"POST": native.generate},
    "/api/chat": {"POST": native.chat},
    "/api/embed": {"POST": embedding.embed},
    "/api/embeddings": {"POST": embedding.embeddings},
    "/api/pull": {"POST": store.pull},
    "/api/push": {"POST": store.push},
    "/api/create": {"POST": store.create},
    "/api/copy": {"POST": store.copy},
    "/api/delete": {"DELETE": store.delete},
    "/v1/chat/completions": {"POST": openai.chat_completions},
    "/v1/models": {"GET": openai.models},
    "/_sim/faults": {
        "GET": control.list_faults,
        "POST": control.arm_faults,
        "DELETE": control.clear_faults,
    },
    "/_sim/report": {"GET": control.report},
    "/_sim/reset": {"POST": control.reset},
    "/_sim/state": {"GET": control.state},
}
_PREFIXES: dict[str, dict[str, Handler]] = {
    "/api/blobs/": {"POST": store.create_blob, "HEAD": store.head_blob},
    "/v1/models/": {"GET": openai.model},
}


class Application:
    """Raw ASGI. The simulator is made by the first request or lifespan event, inside the running loop."""

    def __init__(self, make: Callable[[], Simulator]) -> None:
        self._make = make
        self._simulator: Simulator | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        sim = self._simulator = self._simulator or self._make()
        exchange = Exchange(scope, receive, send)
        sim.traffic.routes[_label(scope)] += 1
        try:
            await self._serve(sim, exchange, scope)
        except BadRequest as refusal:
            await _refuse(exchange, refusal)
        except asyncio.CancelledError:
            if not exchange.gone:
                raise
            sim.traffic.streams_cut += 1

    async def _serve(self, sim: Simulator, exchange: Exchange, scope: Scope) -> None:
        origin = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                sim.traffic.with_authorization += 1
            elif name == b"origin" and not is_same_origin(value, exchange):
                origin = value
            elif name == b"host" and sim.behaviour.local_only and not host_allowed(value):
                await exchange.empty(403)
                return
        if origin and not await answer_origin(exchange, origin, scope["method"]):
            return
        await _route(sim, exchange, scope["method"])


async def _route(sim: Simulator, exchange: Exchange, method: str) -> None:
    methods = _ROUTES.get(exchange.path) or next(
        (found for prefix, found in _PREFIXES.items() if exchange.path.startswith(prefix)), None
    )
    if methods is None and method in _ROUTES.get(exchange.path.rstrip("/"), ()):
        await _redirect(exchange, exchange.path.rstrip("/"), method)
    elif methods is None:
        await exchange.respond(404, b"text/plain", b"404 page not found")
    elif method not in methods:
        allow = [(b"allow", ", ".join(methods).encode())]
        await exchange.respond(405, b"text/plain", b"405 method not allowed", allow)
    else:
        await methods[method](sim, exchange)


async def _redirect(exchange: Exchange, path: str, method: str) -> None:
    """Gin leads a path with a slash too many to its route."""
    location = [(b"location", path.encode())]
    if method == "GET":
        page = f'<a href="{path}">Moved Permanently</a>.\n\n'.encode()
        await exchange.respond(301, b"text/html; charset=utf-8", page, location)
    else:
        await exchange.respond(307, b"", b"", location)


async def _refuse(exchange: Exchange, refusal: BadRequest) -> None:
    if exchange.path.startswith("/v1/") and not isinstance(refusal, CloudRefusal):
        body = openai.error_body(refusal.status, refusal.text)
    else:
        body = go_json({"error": refusal.text})
    chunked = isinstance(refusal, LateRefusal)
    await exchange.respond(refusal.status, refusal.content_type, body, chunked=chunked)


def _label(scope: Scope) -> str:
    """Known routes only, so that the counters stay bounded."""
    path = scope["path"]
    if path not in _ROUTES:
        path = next((prefix for prefix in _PREFIXES if path.startswith(prefix)), "other")
    return f"{scope['method']} {path}" if scope["method"] in ("GET", "HEAD", "POST", "DELETE") else "other"

"""The ASGI application: routes and manners of Ollama's HTTP server."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from functools import lru_cache
from urllib.parse import urlsplit

from scheduler.simulator import control, embedding, listing, native, openai, store
from scheduler.simulator.decode import BadRequest
from scheduler.simulator.exchange import JSON, TEXT, Exchange, Receive, Scope, Send
from scheduler.simulator.simulator import Simulator

Handler = Callable[[Simulator, Exchange], Awaitable[None]]


async def _root(sim: Simulator, exchange: Exchange) -> None:
    await exchange.respond(200, TEXT, b"Ollama is running")


_ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"GET": _root, "HEAD": _root},
    "/api/version": {"GET": listing.version, "HEAD": listing.version},
    "/api/status": {"GET": listing.cloud_status},
    "/api/tags": {"GET": listing.tags, "HEAD": listing.tags},
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
_ORIGIN_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")
_ORIGIN_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104  names of an allow list, not an address to bind
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")


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
        for name, value in scope["headers"]:
            if name == b"authorization":
                sim.traffic.with_authorization += 1
            elif (name == b"origin" and not _origin_allowed(value, exchange)) or (
                name == b"host" and sim.behaviour.local_only and not _host_allowed(value)
            ):
                await exchange.empty(403)
                return
        await _route(sim, exchange, scope["method"])


async def _route(sim: Simulator, exchange: Exchange, method: str) -> None:
    methods = _ROUTES.get(exchange.path) or next(
        (found for prefix, found in _PREFIXES.items() if exchange.path.startswith(prefix)), None
    )
    if methods is None:
        await exchange.respond(404, b"text/plain", b"404 page not found")
    elif method not in methods:
        allow = [(b"allow", ", ".join(methods).encode())]
        await exchange.respond(405, b"text/plain", b"405 method not allowed", allow)
    else:
        await methods[method](sim, exchange)


async def _refuse(exchange: Exchange, refusal: BadRequest) -> None:
    if exchange.path.startswith("/v1/"):
        await exchange.respond(refusal.status, JSON, openai.error_body(refusal.status, refusal.text))
    else:
        await exchange.error(refusal.status, refusal.text)


def _label(scope: Scope) -> str:
    """Known routes only, so that the counters stay bounded."""
    path = scope["path"]
    if path not in _ROUTES:
        path = next((prefix for prefix in _PREFIXES if path.startswith(prefix)), "other")
    return f"{scope['method']} {path}" if scope["method"] in ("GET", "HEAD", "POST", "DELETE") else "other"


def _origin_allowed(origin: bytes, exchange: Exchange) -> bool:
    text = origin.decode("latin-1")
    parts = urlsplit(text)
    same = text == f"http://{exchange.header(b'host').decode('latin-1')}"
    return same or parts.scheme in _ORIGIN_SCHEMES or parts.hostname in _ORIGIN_HOSTS


@lru_cache(maxsize=64)
def _host_allowed(value: bytes) -> bool:
    host = (urlsplit(f"//{value.decode('latin-1')}").hostname or "").lower()
    if host in ("", "localhost", socket.gethostname().lower()) or host.endswith(_LOCAL_SUFFIXES):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_unspecified

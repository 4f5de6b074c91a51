"""What `manage.py agent` serves on a machine with GPUs: their readings as JSON, to who has the token."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from scheduler.gpus.gpu import GpusUnreadable
from scheduler.gpus.reader import GpuReader

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Agent:
    """An ASGI application: GET /gpus with the token, GET /livez without. An empty token asks for none."""

    def __init__(self, reader: GpuReader, *, token: str) -> None:
        self._reader = reader
        self._expected = f"Bearer {token}".encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # the server runs without lifespan and upgrades nothing
        status, body = await self._answer(scope)
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps(body)})

    async def _answer(self, scope: Scope) -> tuple[int, dict[str, Any]]:
        if scope["method"] not in ("GET", "HEAD"):
            return 405, {"error": "Only GET is answered here."}
        if scope["path"] == "/livez":
            return 200, {"ok": True}
        if scope["path"] != "/gpus":
            return 404, {"error": "The readings are at /gpus."}
        if not self._may(scope):
            return 401, {"error": "The token is missing or another one: BRIDGE_AGENT_TOKEN on both sides."}
        return await self._readings()

    async def _readings(self) -> tuple[int, dict[str, Any]]:
        try:
            gpus = await self._reader.read()
        except GpusUnreadable as error:
            return 503, {"error": str(error)}
        return 200, {"at": time.time(), "gpus": [gpu.as_json() for gpu in gpus]}

    def _may(self, scope: Scope) -> bool:
        if self._expected is None:
            return True
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, self._expected)

"""What `manage.py agent` serves on a machine with GPUs: their readings as JSON, to who has the token; and it
takes the list of likely models, whose files it reads ahead where it was given memory for that."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import orjson

from scheduler.gpus.gpu import GpusUnreadable
from scheduler.gpus.reader import GpuReader
from scheduler.pagecache import Filler

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


LARGEST_LIST = 64 * 2**10  # bytes
MOST_LIKELY = 64  # models


class Agent:
    """An ASGI application: GET /gpus and PUT /likely with the token, GET /livez without. An empty token asks
    for none. Without a filler the list is taken and nothing is read."""

    def __init__(self, reader: GpuReader, *, token: str, filler: Filler | None = None) -> None:
        self._reader = reader
        self._filler = filler
        self._expected = f"Bearer {token}".encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # the server runs without lifespan and upgrades nothing
        status, body = await self._answer(scope, receive)
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps(body)})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any]]:
        path, method = scope["path"], scope["method"]
        if path not in METHODS:
            return 404, {"error": "The readings are at /gpus, the list of likely models at /likely."}
        if method not in METHODS[path]:
            return 405, {"error": f"Only {' and '.join(METHODS[path])} is answered here."}
        if path == "/livez":
            return 200, {"ok": True}
        if not self._may(scope):
            return 401, {"error": "The token is missing or another one: BRIDGE_AGENT_TOKEN on both sides."}
        if path == "/gpus":
            return await self._readings()
        return self._likely(await _body(receive)) if method == "PUT" else (200, self._ram())

    def _likely(self, body: bytes | None) -> tuple[int, dict[str, Any]]:
        """Take the list: {"models": [name, …]}, the most likely first."""
        if body is None:
            return 413, {"error": f"A list has at most {LARGEST_LIST} bytes."}
        try:
            models = orjson.loads(body)["models"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            models = None
        if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
            return 400, {"error": 'The list is {"models": [name, …]}, the most likely first.'}
        if self._filler is not None:
            self._filler.want(models[:MOST_LIKELY])
        return 200, self._ram()

    def _ram(self) -> dict[str, Any]:
        return {"budget_bytes": 0} if self._filler is None else asdict(self._filler.state)

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


METHODS = {"/livez": ("GET", "HEAD"), "/gpus": ("GET", "HEAD"), "/likely": ("GET", "PUT")}


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when it is too large."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LARGEST_LIST:
            return None
    return body

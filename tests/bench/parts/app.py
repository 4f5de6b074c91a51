"""A plain ASGI app that passes a POST on: what a server and a client cost without Django or the bridge."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tests.bench.parts.clients import CLIENTS, Client

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_PASSED = (b"content-type", b"content-length")
_client: Client | None = None


def client() -> Client:
    """Made in the server's loop, at the first request."""
    global _client
    if _client is None:
        _client = CLIENTS[os.environ["BENCH_CLIENT"]](os.environ["BENCH_UPSTREAM"])
    return _client


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["method"] == "POST":
        await forward(scope["path"], await whole(receive), receive, send)
    else:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def forward(path: str, body: bytes, receive: Receive, send: Send) -> None:
    gone = asyncio.ensure_future(receive())
    try:
        async with client()(path, body) as (status, headers, chunks):
            passed = [(name.lower(), value) for name, value in headers if name.lower() in _PASSED]
            await send({"type": "http.response.start", "status": status, "headers": passed})
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if gone.done():
                    return
        await send({"type": "http.response.body"})
    finally:
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone

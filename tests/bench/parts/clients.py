"""The HTTP clients compared: each forwards a request to the upstream and gives status, headers and body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx

from bridge.transport import NodeTransport, Origin

Headers = list[tuple[bytes, bytes]]
Opened = tuple[int, Headers, AsyncIterator[bytes]]
Client = Callable[[str, bytes], AbstractAsyncContextManager[Opened]]

_JSON = "application/json"


def ours(url: str) -> Client:
    """NodeTransport.send, as the relay calls it."""
    transport, origin = NodeTransport(), Origin.parse(url)
    headers = [(b"content-type", _JSON.encode())]

    @asynccontextmanager
    async def post(path: str, body: bytes) -> AsyncIterator[Opened]:
        reply = await transport.send(
            origin, b"POST", path.encode(), headers, body, first_byte_timeout_s=60, idle_timeout_s=60
        )
        async with reply:
            yield reply.status, reply.headers, reply

    return post


def ours_handle(url: str) -> Client:
    """NodeTransport through httpx's transport interface, without httpx's client."""
    transport = NodeTransport()

    @asynccontextmanager
    async def post(path: str, body: bytes) -> AsyncIterator[Opened]:
        request = httpx.Request("POST", url + path, content=body, headers={"content-type": _JSON})
        response = await transport.handle_async_request(request)
        try:
            yield response.status_code, response.headers.raw, aiter(response.stream)
        finally:
            await response.stream.aclose()

    return post


def ours_httpx(url: str) -> Client:
    """NodeTransport under httpx.AsyncClient."""
    return _httpx(url, NodeTransport())


def httpx_pool(url: str) -> Client:
    """httpx as it comes, without a bound on its pool."""
    return _httpx(url, httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None)))


def _httpx(url: str, transport: httpx.AsyncBaseTransport) -> Client:
    client = httpx.AsyncClient(transport=transport, base_url=url, timeout=60, trust_env=False)

    @asynccontextmanager
    async def post(path: str, body: bytes) -> AsyncIterator[Opened]:
        async with client.stream("POST", path, content=body, headers={"content-type": _JSON}) as response:
            yield response.status_code, response.headers.raw, response.aiter_raw()

    return post


def aiohttp(url: str) -> Client:
    """aiohttp, without its bound of 100 connections."""
    import aiohttp as library

    session: library.ClientSession | None = None

    @asynccontextmanager
    async def post(path: str, body: bytes) -> AsyncIterator[Opened]:
        nonlocal session
        if session is None:
            connector = library.TCPConnector(limit=0)
            session = library.ClientSession(connector=connector, auto_decompress=False)
        async with session.post(url + path, data=body, headers={"content-type": _JSON}) as response:
            yield response.status, list(response.raw_headers), response.content.iter_any()

    return post


CLIENTS: dict[str, Callable[[str], Client]] = {
    "ours": ours,
    "ours_handle": ours_handle,
    "ours_httpx": ours_httpx,
    "httpx": httpx_pool,
    "aiohttp": aiohttp,
}

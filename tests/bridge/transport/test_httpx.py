"""The transport under httpx.AsyncClient."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest

from bridge.transport import NodeTransport
from tests.bridge.transport.conftest import Serve
from tests.bridge.transport.socket_node import (
    CHUNKED_HEAD,
    NodeSide,
    chunk,
    chunked,
    eventually,
    replying,
    sized,
)

pytestmark = pytest.mark.asyncio


async def echo(side: NodeSide) -> None:
    while (request := await side.request()) is not None:
        await side.send(
            sized(request.line + b"|" + request.body, b"X-Host: " + (request.header(b"host") or b""))
        )


async def test_requests_and_replies_pass(serve: Serve, transport: NodeTransport) -> None:
    node = await serve(echo)
    async with httpx.AsyncClient(transport=transport, base_url=str(node.origin)) as client:
        got = await client.get("/api/tags", params={"a": "b c"})
        assert got.text == "GET /api/tags?a=b+c HTTP/1.1|"
        assert got.headers["x-host"] == f"127.0.0.1:{node.port}"
        assert got.http_version == "HTTP/1.1"
        posted = await client.post("/api/chat", json={"model": "m"})
        assert posted.text == 'POST /api/chat HTTP/1.1|{"model":"m"}'
    assert node.accepted == 1


async def test_a_streamed_upload_passes(serve: Serve, transport: NodeTransport) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    node = await serve(echo)
    async with httpx.AsyncClient(transport=transport) as client:
        reply = await client.post(f"{node.origin}/", content=parts())
        assert reply.text.endswith("|onetwo")
        known = await client.post(f"{node.origin}/", content=parts(), headers={"Content-Length": "6"})
        assert known.text.endswith("|onetwo")


async def test_a_stream_comes_chunk_by_chunk(serve: Serve, transport: NodeTransport) -> None:
    go = asyncio.Event()

    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(CHUNKED_HEAD)
        for part in (b"one\n", b"two\n"):
            await go.wait()
            go.clear()
            await side.send(chunk(part))
        await side.send(b"0\r\n\r\n")

    node = await serve(handler)
    async with (
        httpx.AsyncClient(transport=transport) as client,
        client.stream("POST", f"{node.origin}/") as reply,
    ):
        lines = []
        go.set()
        async for line in reply.aiter_lines():
            lines.append(line)
            go.set()
    assert lines == ["one", "two"]


async def test_httpx_decodes_what_the_transport_leaves_alone(serve: Serve, transport: NodeTransport) -> None:
    node = await serve(replying(sized(gzip.compress(b"hello"), b"Content-Encoding: gzip")))
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.get(f"{node.origin}/")).content == b"hello"


async def test_leaving_a_stream_early_closes_its_connection(serve: Serve, transport: NodeTransport) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(CHUNKED_HEAD + chunk(b"some"))
        await side.closed_by_client()

    node = await serve(handler)
    async with httpx.AsyncClient(transport=transport) as client:
        async with client.stream("POST", f"{node.origin}/") as reply:
            assert await anext(reply.aiter_raw()) == b"some"
        assert transport.connections().open == 0
        await eventually(lambda: node.open == 0)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"garbage\r\n\r\n", httpx.RemoteProtocolError),
        (chunked(b"some")[:-5], httpx.RemoteProtocolError),
    ],
)
async def test_our_errors_are_httpx_errors_to_its_users(
    raw: bytes, error: type[Exception], serve: Serve, transport: NodeTransport
) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(raw)

    node = await serve(handler)
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(error) as caught:
            await client.get(f"{node.origin}/")
    assert isinstance(caught.value, httpx.RequestError)
    assert caught.value.request.url.port == node.port


async def test_timeouts_are_httpx_timeouts(serve: Serve) -> None:
    async def half(side: NodeSide) -> None:
        request = await side.request()
        if request is not None and b"/body" in request.line:
            await side.send(CHUNKED_HEAD)
        await side.closed_by_client()

    node = await serve(half)
    transport = NodeTransport(connect_timeout_s=0.05)
    async with httpx.AsyncClient(transport=transport, timeout=0.05) as client:
        for path in ("/head", "/body"):
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"{node.origin}{path}")
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(f"https://127.0.0.1:{node.port}/")
        await node.stop()
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{node.origin}/")
    assert transport.connections().open == 0


async def test_only_http_is_spoken(transport: NodeTransport) -> None:
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")

"""Sound replies over real sockets, in every framing and cut."""

from __future__ import annotations

import asyncio

import pytest

from bridge.transport import NodeProtocolError, NodeTransport
from tests.bridge.transport.conftest import Serve
from tests.bridge.transport.socket_node import CHUNKED_HEAD, NodeSide, chunk, replying, sized
from tests.bridge.transport.test_parser import TO_EOF, WHOLE

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("name", WHOLE)
async def test_a_reply_arrives_whole_however_it_is_cut(
    name: str, serve: Serve, transport: NodeTransport
) -> None:
    raw, body, reusable = WHOLE[name]

    async def handler(side: NodeSide) -> None:
        while (request := await side.request()) is not None:
            place = int(request.body)
            await side.send(raw[:place])
            await asyncio.sleep(0)
            await side.send(raw[place:])

    node = await serve(handler)
    for place in range(len(raw)):
        async with await transport.send(node.origin, b"POST", b"/", [], b"%d" % place) as reply:
            assert await reply.read() == body
    assert node.accepted == (1 if reusable else len(raw))


@pytest.mark.parametrize("name", TO_EOF)
async def test_a_reply_may_end_with_the_connection(name: str, serve: Serve, transport: NodeTransport) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        for place in range(len(TO_EOF[name])):
            await side.send(TO_EOF[name][place : place + 1])
            await asyncio.sleep(0)

    node = await serve(handler)
    for _ in range(2):
        reply = await transport.send(node.origin, b"GET", b"/", [])
        assert await reply.read() == b"hello"
    assert transport.connections().open == 0
    assert node.accepted == 2


async def test_chunks_come_as_the_node_sends_them(serve: Serve, transport: NodeTransport) -> None:
    go = asyncio.Event()

    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(CHUNKED_HEAD)
        for part in (b"one", b"two", b"three"):
            await go.wait()
            go.clear()
            await side.send(chunk(part))
        await side.send(b"0\r\n\r\n")

    node = await serve(handler)
    reply = await transport.send(node.origin, b"POST", b"/api/chat", [], b"{}")
    assert reply.status == 200
    for part in (b"one", b"two", b"three"):
        go.set()
        assert await anext(reply) == part
    with pytest.raises(StopAsyncIteration):
        await anext(reply)
    with pytest.raises(StopAsyncIteration):
        await anext(reply)


async def test_what_is_pending_is_joined_into_one_chunk(serve: Serve, transport: NodeTransport) -> None:
    node = await serve(
        replying(CHUNKED_HEAD + b"".join(chunk(b"%d;" % i) for i in range(100)) + b"0\r\n\r\n")
    )
    reply = await transport.send(node.origin, b"POST", b"/", [], b"")
    parts = [part async for part in reply]
    assert b"".join(parts) == b"".join(b"%d;" % i for i in range(100))
    assert len(parts) < 5


async def test_compressed_bodies_are_left_alone(serve: Serve, transport: NodeTransport) -> None:
    node = await serve(replying(sized(b"\x1f\x8b\x08raw", b"Content-Encoding: gzip")))
    reply = await transport.send(node.origin, b"GET", b"/", [])
    assert reply.header(b"content-encoding") == b"gzip"
    assert await reply.read() == b"\x1f\x8b\x08raw"


async def test_a_reply_to_head_has_no_body(serve: Serve, transport: NodeTransport) -> None:
    node = await serve(replying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
    for _ in range(2):
        reply = await transport.send(node.origin, b"HEAD", b"/", [])
        assert reply.header(b"content-length") == b"5"
        assert await reply.read() == b""


async def test_a_body_larger_than_the_reader_allows_is_refused(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(replying(sized(b"x" * 1001)))
    reply = await transport.send(node.origin, b"GET", b"/", [])
    with pytest.raises(NodeProtocolError, match="larger than the 1000 bytes"):
        await reply.read(1000)
    reply = await transport.send(node.origin, b"GET", b"/", [])
    assert len(await reply.read(1001)) == 1001


async def test_a_megabyte_body_passes_whole_both_ways(serve: Serve, transport: NodeTransport) -> None:
    data = bytes(range(256)) * 4096

    async def echo(side: NodeSide) -> None:
        while (request := await side.request()) is not None:
            await side.send(sized(request.body))

    node = await serve(echo)
    for _ in range(3):
        reply = await transport.send(node.origin, b"POST", b"/", [], data)
        assert await reply.read() == data
    assert node.accepted == 1

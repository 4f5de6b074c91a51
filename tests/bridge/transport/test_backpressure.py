"""A slow side makes the other side wait; memory stays bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge.transport import NodeClosed, NodeTimeout, NodeTransport, Phase
from tests.bridge.transport.conftest import Serve
from tests.bridge.transport.socket_node import CHUNKED_HEAD, NodeSide, chunk, eventually, replying, sized

pytestmark = pytest.mark.asyncio

HIGH_WATER = 64 * 1024
ONE_READ = 256 * 1024  # bytes that a loop takes from a socket at once
PIECE = b"x" * 16384
PIECES = 2000  # 32 MiB in all


async def pour(side: NodeSide) -> None:
    while await side.request() is not None:
        await side.send(CHUNKED_HEAD)
        for _ in range(PIECES):
            await side.send(chunk(PIECE))
        await side.send(b"0\r\n\r\n")


async def test_a_reader_that_stops_stops_the_node(serve: Serve) -> None:
    transport = NodeTransport(high_water=HIGH_WATER)
    node = await serve(pour)
    reply = await transport.send(node.origin, b"POST", b"/", [], b"")
    side = node.sides[0]
    await eventually(lambda: side.writer.transport.get_write_buffer_size() > 0)
    # The node's buffer is full; with the reader gone it stays full, however many turns the loop takes.
    await eventually(lambda: reply.buffered > HIGH_WATER)
    for _ in range(200):
        await asyncio.sleep(0)
    held = side.sent
    for _ in range(1000):
        await asyncio.sleep(0)
    assert side.sent == held < PIECES * len(PIECE) / 2
    assert reply.buffered <= HIGH_WATER + ONE_READ
    await transport.aclose()


async def test_a_slow_reader_gets_everything_in_bounded_memory(serve: Serve) -> None:
    transport = NodeTransport(high_water=HIGH_WATER)
    node = await serve(pour)
    for _ in range(2):
        reply = await transport.send(node.origin, b"POST", b"/", [], b"")
        size = most = 0
        async for data in reply:
            most = max(most, len(data), reply.buffered)
            size += len(data)
            await asyncio.sleep(0)
        assert size == PIECES * len(PIECE)
        assert most <= HIGH_WATER + ONE_READ
    assert node.accepted == 1, "a connection that was paused is whole again"
    await transport.aclose()


async def test_a_paused_stream_can_be_dropped(serve: Serve) -> None:
    transport = NodeTransport(high_water=HIGH_WATER)
    node = await serve(pour)
    reply = await transport.send(node.origin, b"POST", b"/", [], b"")
    await eventually(lambda: reply.buffered > HIGH_WATER)
    await reply.aclose()
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


async def test_a_node_that_reads_slowly_makes_a_streamed_body_wait(
    serve: Serve, transport: NodeTransport
) -> None:
    made = 0
    go = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(PIECES):
            made += 1
            yield PIECE

    async def handler(side: NodeSide) -> None:
        await go.wait()
        request = await side.request()
        assert request is not None
        await side.send(sized(b"%d" % len(request.body)))

    node = await serve(handler)
    length = [(b"content-length", b"%d" % (PIECES * len(PIECE)))]
    task = asyncio.create_task(transport.send(node.origin, b"PUT", b"/", length, body()))
    await eventually(lambda: made > 0)
    for _ in range(2000):
        await asyncio.sleep(0)
    assert made < PIECES / 2
    go.set()
    assert await (await task).read() == b"%d" % (PIECES * len(PIECE))


async def test_a_node_that_does_not_take_the_body_times_out(serve: Serve, transport: NodeTransport) -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield PIECE

    stop = asyncio.Event()

    async def handler(side: NodeSide) -> None:
        await stop.wait()

    node = await serve(handler)
    with pytest.raises(NodeTimeout) as caught:
        await transport.send(node.origin, b"PUT", b"/", [], body(), first_byte_timeout_s=0.1)
    assert caught.value.phase is Phase.REQUEST
    assert transport.connections().open == 0
    stop.set()


async def test_a_streamed_body_has_the_length_that_it_declared(
    serve: Serve, transport: NodeTransport
) -> None:
    async def body(*parts: bytes) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    async def echo(side: NodeSide) -> None:
        while (request := await side.request()) is not None:
            assert request.header(b"transfer-encoding") is None
            await side.send(sized(request.body))

    node = await serve(echo)
    length = [(b"content-length", b"6")]
    reply = await transport.send(node.origin, b"PUT", b"/", length, body(b"abc", b"", b"def"))
    assert await reply.read() == b"abcdef"
    for wrong in (body(b"abc"), body(b"abcd", b"efg")):
        with pytest.raises(ValueError, match="6 bytes"):
            await transport.send(node.origin, b"PUT", b"/", length, wrong)
    assert transport.connections().open == 0


async def test_a_body_that_fails_closes_the_connection(serve: Serve, transport: NodeTransport) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"part"
        raise OSError("the client's upload broke")

    node = await serve(NodeSide.closed_by_client)
    with pytest.raises(OSError, match="upload broke"):
        await transport.send(node.origin, b"PUT", b"/", [], body())
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


async def test_a_reply_that_comes_before_the_body_ends_is_the_answer(
    serve: Serve, transport: NodeTransport
) -> None:
    async def handler(side: NodeSide) -> None:
        await side.reader.readuntil(b"\r\n\r\n")
        await side.send(sized(b"too large", status=b"413 Too Large"))
        await side.closed_by_client()

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100
            await asyncio.sleep(0)

    node = await serve(handler)
    reply = await transport.send(node.origin, b"PUT", b"/", [], body())
    assert reply.status == 413
    assert await reply.read() == b"too large"
    assert transport.connections().open == 0, "the rest of the body is owed, so nothing may follow"
    await eventually(lambda: node.open == 0)


async def test_a_node_that_dies_during_the_body_is_noticed(serve: Serve, transport: NodeTransport) -> None:
    async def handler(side: NodeSide) -> None:
        await side.reader.readexactly(1000)
        side.reset()

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield PIECE
            await asyncio.sleep(0)

    node = await serve(handler)
    with pytest.raises(NodeClosed) as caught:
        await transport.send(node.origin, b"PUT", b"/", [], body())
    assert caught.value.phase is Phase.REQUEST
    assert transport.connections().open == 0


async def test_a_large_body_and_an_early_answer_do_not_deadlock(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(replying(sized(b"x" * 4 * 2**20)))
    reply = await transport.send(node.origin, b"POST", b"/", [], b"y" * 4 * 2**20)
    assert len(await reply.read()) == 4 * 2**20

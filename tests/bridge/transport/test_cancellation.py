"""Cancelling a request at any point closes its connection and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import httptools
import pytest

from bridge.transport import NodeError, NodeTransport, Origin
from tests.bridge.transport.conftest import Serve
from tests.bridge.transport.socket_node import CHUNKED_HEAD, NodeSide, chunk, eventually, replying, sized

pytestmark = pytest.mark.asyncio


async def stream(transport: NodeTransport, origin: Origin, target: bytes = b"/stream") -> None:
    reply = await transport.send(
        origin, b"POST", target, [], b"{}", first_byte_timeout_s=60, idle_timeout_s=60
    )
    async with reply:
        async for _ in reply:
            pass


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_request_cancelled_before_the_reply_closes_its_connection(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(NodeSide.closed_by_client)
    task = asyncio.create_task(stream(transport, node.origin))
    await eventually(lambda: node.open == 1)
    await cancel(task)
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


async def test_a_stream_cancelled_in_the_middle_closes_its_connection(
    serve: Serve, transport: NodeTransport
) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(CHUNKED_HEAD + chunk(b"some"))
        await side.closed_by_client()

    node = await serve(handler)
    seen = asyncio.Event()

    async def consume() -> None:
        reply = await transport.send(node.origin, b"POST", b"/", [], b"{}")
        async for _ in reply:
            seen.set()

    task = asyncio.create_task(consume())
    await seen.wait()
    await cancel(task)
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


async def test_a_stream_cancelled_while_its_reader_is_elsewhere_closes_its_connection(
    serve: Serve, transport: NodeTransport
) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(CHUNKED_HEAD + chunk(b"some"))
        await side.closed_by_client()

    node = await serve(handler)
    seen = asyncio.Event()

    async def consume() -> None:
        async with await transport.send(node.origin, b"POST", b"/", [], b"{}") as reply:
            async for _ in reply:
                seen.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(consume())
    await seen.wait()
    await cancel(task)
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


async def test_a_request_cancelled_while_connecting_leaves_no_connection(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(NodeSide.closed_by_client)
    for turns in range(12):
        task = asyncio.create_task(stream(transport, node.origin))
        for _ in range(turns):
            await asyncio.sleep(0)
        await cancel(task)
        await eventually(lambda: transport.connections().open == 0)
    await eventually(lambda: node.open == 0)


async def test_a_reply_that_came_whole_before_the_cancel_keeps_its_connection(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(replying(sized(b"hello")))
    reply = await transport.send(node.origin, b"GET", b"/", [])
    await eventually(lambda: reply.ended)
    await reply.aclose()
    assert transport.connections().idle == 1


class CountingNode(asyncio.Protocol):
    """/silent never answers, /stream sends one chunk and no end, /whole answers at once."""

    open = 0
    seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        CountingNode.open += 1
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.target = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.target = url

    def on_message_complete(self) -> None:
        CountingNode.seen += 1
        if self.target == b"/stream":
            self.transport.write(CHUNKED_HEAD + chunk(b"some"))
        elif self.target == b"/whole":
            self.transport.write(sized(b"hello"))

    def connection_lost(self, error: Exception | None) -> None:
        CountingNode.open -= 1


async def test_ten_thousand_cancelled_streams_leak_nothing(transport: NodeTransport) -> None:
    CountingNode.open = CountingNode.seen = 0
    server = await asyncio.get_running_loop().create_server(CountingNode, "127.0.0.1", 0, backlog=1024)
    origin = Origin("127.0.0.1", server.sockets[0].getsockname()[1])
    tasks, files = len(asyncio.all_tasks()), len(os.listdir("/dev/fd"))
    targets = (b"/silent", b"/stream", b"/whole", b"/stream")

    async def cancel_many(worker: int) -> None:
        for number in range(200):
            task = asyncio.create_task(stream(transport, origin, targets[number % 4]))
            # From before the connection stands to long after the first chunk, another point each time.
            for _ in range((worker + number * 7) % 16):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError, NodeError):
                await task

    await asyncio.gather(*[cancel_many(worker) for worker in range(50)])
    assert transport.connections().in_use == 0
    assert CountingNode.seen > 1000, "many were cancelled only after the node had read them"
    await eventually(lambda: CountingNode.open == transport.connections().idle)
    await transport.aclose()
    await eventually(lambda: CountingNode.open == 0)
    await eventually(lambda: len(os.listdir("/dev/fd")) == files)
    assert len(asyncio.all_tasks()) == tasks
    server.close()
    await server.wait_closed()

"""Reuse of connections, and what happens when a node has closed one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from bridge.transport import NodeClosed, NodeTransport, Origin, Phase
from bridge.transport.node_transport import STALE_WINDOW_S, may_repeat
from tests.bridge.transport.conftest import Serve
from tests.bridge.transport.socket_node import NodeSide, chunked, eventually, replying, sized

pytestmark = pytest.mark.asyncio

HELLO = sized(b"hello")


async def ask(transport: NodeTransport, origin: Origin, method: bytes = b"POST") -> bytes:
    reply = await transport.send(origin, method, b"/api/chat", [], b"{}")
    return await reply.read()


async def test_one_connection_serves_one_request_after_the_other(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(replying(HELLO, chunked(b"hel", b"lo"), sized(b"")))
    assert [await ask(transport, node.origin) for _ in range(20)] == [b"hello"] * 2 + [b""] * 18
    assert node.accepted == 1
    counts = transport.connections()
    assert (counts.open, counts.idle, counts.in_use) == (1, 1, 0)


async def test_requests_at_once_have_a_connection_each_and_keep_them(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(replying(HELLO))
    for _ in range(3):
        assert await asyncio.gather(*[ask(transport, node.origin) for _ in range(10)]) == [b"hello"] * 10
    assert node.accepted == 10
    assert transport.connections().idle == 10


async def test_the_connection_used_last_is_used_next(serve: Serve, transport: NodeTransport) -> None:
    async def who(side: NodeSide) -> None:
        while await side.request() is not None:
            await side.send(sized(b"%d" % side.number))

    node = await serve(who)
    await asyncio.gather(*[ask(transport, node.origin) for _ in range(5)])
    last = await ask(transport, node.origin)
    assert {await ask(transport, node.origin) for _ in range(20)} == {last}


async def test_a_connection_is_free_as_soon_as_the_reply_has_come_whole(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(replying(HELLO))
    unread = await transport.send(node.origin, b"GET", b"/", [])
    await eventually(lambda: transport.connections().idle == 1)
    assert await ask(transport, node.origin) == b"hello"
    assert await unread.read() == b"hello"
    await unread.aclose()
    assert node.accepted == 1
    assert transport.connections().idle == 1


async def test_each_node_has_its_own_connections(serve: Serve, transport: NodeTransport) -> None:
    one, two = await serve(replying(sized(b"one"))), await serve(replying(sized(b"two")))
    for _ in range(3):
        assert await ask(transport, one.origin) == b"one"
        assert await ask(transport, two.origin) == b"two"
    assert (one.accepted, two.accepted) == (1, 1)


async def test_only_so_many_stay_idle(serve: Serve) -> None:
    transport = NodeTransport(max_idle=3)
    node = await serve(replying(HELLO))
    await asyncio.gather(*[ask(transport, node.origin) for _ in range(10)])
    assert transport.connections().open == transport.connections().idle == 3
    await eventually(lambda: node.open == 3)
    await transport.aclose()


async def test_an_unused_connection_is_closed_after_a_while(serve: Serve) -> None:
    transport = NodeTransport(keepalive_s=0.05)
    node = await serve(replying(HELLO))
    await ask(transport, node.origin)
    await eventually(lambda: transport.connections().open == 0)
    await eventually(lambda: node.open == 0)


async def test_a_connection_that_the_node_closes_while_idle_is_forgotten(
    serve: Serve, transport: NodeTransport
) -> None:
    async def once(side: NodeSide) -> None:
        await side.request()
        await side.send(HELLO)

    node = await serve(once)
    for _ in range(5):
        assert await ask(transport, node.origin) == b"hello"
        await eventually(lambda: transport.connections().open == 0)
    assert transport.repeated == 0


@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE"])
async def test_a_connection_closed_just_before_we_write_is_replaced(
    method: bytes, serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(replying(HELLO))
    await ask(transport, node.origin)
    assert transport.connections().idle == 1
    # The node's FIN is on its way, our loop has not seen it, and the connection still counts as idle.
    node.sides[0].shutdown()
    assert transport.connections().idle == 1
    assert await ask(transport, node.origin, method) == b"hello"
    assert transport.repeated == 1
    assert node.accepted == 2


@pytest.mark.parametrize("reset", [True, False])
async def test_a_connection_that_closes_on_our_second_request_is_replaced(
    reset: bool, serve: Serve, transport: NodeTransport
) -> None:
    async def once(side: NodeSide) -> None:
        await side.request()
        await side.send(HELLO)
        if side.number % 2:
            await side.reader.readexactly(1)
            if reset:
                side.reset()
        else:
            await side.request()
            await side.send(HELLO)

    node = await serve(once)
    assert await ask(transport, node.origin) == b"hello"
    assert await ask(transport, node.origin) == b"hello"
    assert transport.repeated == 1
    assert node.accepted == 2


async def test_a_request_is_repeated_once_and_on_a_new_connection(
    serve: Serve, transport: NodeTransport
) -> None:
    broken = False

    async def handler(side: NodeSide) -> None:
        while await side.request() is not None and not broken:
            await side.send(HELLO)

    node = await serve(handler)
    await asyncio.gather(*[ask(transport, node.origin) for _ in range(5)])
    broken = True
    with pytest.raises(NodeClosed) as caught:
        await ask(transport, node.origin)
    assert caught.value.phase is Phase.HEAD
    assert node.accepted == 6, "the second try does not take another of the old connections"
    assert transport.repeated == 1


async def test_a_fresh_connection_that_closes_is_not_tried_again(
    serve: Serve, transport: NodeTransport
) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()

    node = await serve(handler)
    with pytest.raises(NodeClosed):
        await ask(transport, node.origin)
    assert node.accepted == 1


async def test_a_request_that_was_answered_in_part_is_not_repeated(
    serve: Serve, transport: NodeTransport
) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(HELLO)
        await side.request()
        await side.send(b"HTTP/1.1 2")

    node = await serve(handler)
    await ask(transport, node.origin)
    with pytest.raises(NodeClosed):
        await ask(transport, node.origin)
    assert node.accepted == 1


async def test_a_streamed_request_is_not_repeated(serve: Serve, transport: NodeTransport) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"part"

    node = await serve(replying(HELLO))
    await ask(transport, node.origin)
    node.sides[0].shutdown()
    with pytest.raises(NodeClosed):
        await transport.send(node.origin, b"POST", b"/", [], body())
    assert node.accepted == 1


async def test_a_node_that_took_the_request_and_died_on_it_is_not_asked_again() -> None:
    node = Origin("gpu1", 1)
    closed = NodeClosed(node, Phase.HEAD, "gone")
    assert may_repeat(closed, heard=False, elapsed_s=0.01, body=b"{}")
    assert not may_repeat(closed, heard=False, elapsed_s=STALE_WINDOW_S, body=b"{}")
    assert not may_repeat(closed, heard=True, elapsed_s=0.01, body=b"{}")
    assert not may_repeat(NodeClosed(node, Phase.BODY, "gone"), heard=False, elapsed_s=0.01, body=b"{}")


async def test_after_a_restart_of_the_node_every_request_is_answered(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(replying(HELLO))
    for _ in range(3):
        assert await asyncio.gather(*[ask(transport, node.origin) for _ in range(20)]) == [b"hello"] * 20
        await node.stop()
        await node.start()
        assert await asyncio.gather(*[ask(transport, node.origin) for _ in range(20)]) == [b"hello"] * 20
    assert transport.connections().in_use == 0


@pytest.mark.parametrize("surplus", [b"x", HELLO, b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_what_a_node_says_unasked_is_never_taken_for_a_reply(
    surplus: bytes, serve: Serve, transport: NodeTransport
) -> None:
    async def handler(side: NodeSide) -> None:
        while await side.request() is not None:
            await side.send(sized(b"%d" % side.number))
            await tell.wait()
            await side.send(surplus)

    tell = asyncio.Event()
    node = await serve(handler)
    assert await ask(transport, node.origin) == b"1"
    tell.set()
    await eventually(lambda: transport.connections().open == 0)
    assert await ask(transport, node.origin) == b"2"


async def test_a_connection_is_probed_for_a_machine_that_vanished(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(replying(HELLO))
    await ask(transport, node.origin)
    (connection,) = transport._pool._open
    sock = connection._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_KEEPCNT"):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3

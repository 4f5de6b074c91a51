"""Each way a node fails is one error, with the phase in which it failed, and leaves no connection."""

from __future__ import annotations

import asyncio
import socket

import pytest

from bridge.transport import (
    NodeClosed,
    NodeError,
    NodeProtocolError,
    NodeTimeout,
    NodeTransport,
    NodeUnreachable,
    Origin,
    Phase,
)
from bridge.transport.request import encode_request
from tests.bridge.transport.conftest import Serve
from tests.bridge.transport.socket_node import CHUNKED_HEAD, NodeSide, chunk, eventually, replying, sized
from tests.bridge.transport.test_parser import MALFORMED, WHOLE

pytestmark = pytest.mark.asyncio


async def exchange(transport: NodeTransport, origin: Origin, **timeouts: float) -> bytes:
    reply = await transport.send(origin, b"POST", b"/api/chat", [], b"{}", **timeouts)
    return await reply.read()


async def silent(side: NodeSide) -> None:
    await side.closed_by_client()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_a_port_where_nothing_listens_is_unreachable(transport: NodeTransport) -> None:
    origin = Origin("127.0.0.1", free_port())
    with pytest.raises(NodeUnreachable, match=f"node {origin}: .*") as caught:
        await exchange(transport, origin)
    assert caught.value.phase is Phase.CONNECT
    assert caught.value.origin == origin


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 300])
async def test_a_host_that_no_one_knows_is_unreachable(host: str, transport: NodeTransport) -> None:
    with pytest.raises(NodeUnreachable):
        await exchange(transport, Origin(host, 80))


async def test_a_connection_that_does_not_come_about_times_out(serve: Serve) -> None:
    # A TLS handshake that is never answered: the TCP connection stands, the connection does not.
    node = await serve(silent)
    transport = NodeTransport(connect_timeout_s=0.05)
    with pytest.raises(NodeTimeout, match=r"no connection within 0.05 s") as caught:
        await exchange(transport, Origin("127.0.0.1", node.port, tls=True))
    assert caught.value.phase is Phase.CONNECT
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


@pytest.mark.parametrize("reset", [True, False])
async def test_a_node_that_closes_what_it_accepts_is_noticed_at_once(
    reset: bool, serve: Serve, transport: NodeTransport
) -> None:
    async def handler(side: NodeSide) -> None:
        if reset:
            side.reset()

    node = await serve(handler)
    async with asyncio.timeout(20):
        for _ in range(100):
            with pytest.raises((NodeClosed, NodeUnreachable)):
                await exchange(transport, node.origin)
    assert transport.connections().open == 0


async def test_a_connection_lost_before_its_first_request_is_an_error(
    serve: Serve, transport: NodeTransport
) -> None:
    node = await serve(silent)
    connection = await transport._connect(node.origin)
    connection.abandon("the node closed the connection")
    await eventually(lambda: node.open == 0)  # so that the loop has told the connection of its end
    with pytest.raises(NodeClosed, match="before the request") as caught:
        await connection.exchange(encode_request(node.origin, b"GET", b"/", [], b""), 60, None)
    assert caught.value.phase is Phase.REQUEST


async def test_a_node_that_never_answers_times_out(serve: Serve, transport: NodeTransport) -> None:
    node = await serve(silent)
    with pytest.raises(NodeTimeout, match=r"silent for the 0.05 s allowed") as caught:
        await exchange(transport, node.origin, first_byte_timeout_s=0.05)
    assert caught.value.phase is Phase.HEAD
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


async def test_half_a_head_does_not_hold_the_deadline_off(serve: Serve, transport: NodeTransport) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(b"HTTP/1.1 200 OK\r\nX-Slow:")
        await side.closed_by_client()

    node = await serve(handler)
    with pytest.raises(NodeTimeout) as caught:
        await exchange(transport, node.origin, first_byte_timeout_s=0.05)
    assert caught.value.phase is Phase.HEAD
    await eventually(lambda: node.open == 0)


async def test_silence_between_chunks_times_out_after_what_came(
    serve: Serve, transport: NodeTransport
) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(CHUNKED_HEAD + chunk(b"some"))
        await side.closed_by_client()

    node = await serve(handler)
    reply = await transport.send(
        node.origin, b"POST", b"/", [], b"", first_byte_timeout_s=60, idle_timeout_s=0.05
    )
    assert await anext(reply) == b"some"
    with pytest.raises(NodeTimeout) as caught:
        await anext(reply)
    assert caught.value.phase is Phase.BODY
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


async def test_a_reader_that_takes_its_time_is_no_silent_node(serve: Serve, transport: NodeTransport) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(CHUNKED_HEAD + chunk(b"some"))
        await go.wait()
        await side.send(chunk(b"more") + b"0\r\n\r\n")

    go = asyncio.Event()
    node = await serve(handler)
    reply = await transport.send(node.origin, b"POST", b"/", [], b"", idle_timeout_s=0.05)
    assert await anext(reply) == b"some"
    await asyncio.sleep(0.15)  # longer than a node may stay silent; what is shown is that nothing happens
    go.set()
    assert await reply.read() == b"more"


@pytest.mark.parametrize("name", ["length", "chunks", "trailers", "interim replies"])
async def test_a_reply_cut_off_anywhere_is_an_error_and_no_end(
    name: str, serve: Serve, transport: NodeTransport
) -> None:
    raw = WHOLE[name][0]

    async def handler(side: NodeSide) -> None:
        request = await side.request()
        assert request is not None
        await side.send(raw[: int(request.body)])

    node = await serve(handler)
    for place in range(len(raw)):
        with pytest.raises(NodeClosed) as caught:
            await (await transport.send(node.origin, b"POST", b"/", [], b"%d" % place)).read()
        assert caught.value.phase in (Phase.HEAD, Phase.BODY)
    assert transport.connections().open == 0
    assert transport.repeated == 0


async def test_what_came_before_the_cut_is_still_read(serve: Serve, transport: NodeTransport) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(CHUNKED_HEAD + chunk(b"some") + b"5\r\nof")

    node = await serve(handler)
    reply = await transport.send(node.origin, b"POST", b"/", [], b"")
    await eventually(lambda: reply.ended)
    assert await anext(reply) == b"someof"
    for _ in range(2):
        with pytest.raises(NodeClosed, match="closed the connection"):
            await anext(reply)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200", CHUNKED_HEAD, CHUNKED_HEAD + chunk(b"some")])
async def test_a_reset_is_an_error(start: bytes, serve: Serve, transport: NodeTransport) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(start)
        side.reset()

    node = await serve(handler)
    with pytest.raises(NodeClosed):
        await exchange(transport, node.origin)
    assert transport.connections().open == 0


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_reply_is_a_protocol_error(name: str, serve: Serve) -> None:
    transport = NodeTransport(max_head=4096)
    node = await serve(replying(MALFORMED[name]))
    with pytest.raises(NodeProtocolError, match=r"malformed reply: .{8}"):
        await exchange(transport, node.origin)
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


async def test_a_header_without_end_is_cut_at_the_limit(serve: Serve) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(b"HTTP/1.1 200 OK\r\nX: ")
        while not side.writer.transport.is_closing():
            await side.send(b"y" * 1000)

    transport = NodeTransport(max_head=20_000)
    node = await serve(handler)
    with pytest.raises(NodeProtocolError, match="20000 bytes"):
        await exchange(transport, node.origin)
    await eventually(lambda: node.open == 0)


async def test_closing_the_transport_fails_what_is_under_way(serve: Serve) -> None:
    node = await serve(silent)
    transport = NodeTransport()
    waiting = asyncio.create_task(exchange(transport, node.origin))
    await eventually(lambda: node.open == 1 and transport.connections().in_use == 1)
    await transport.aclose()
    with pytest.raises(NodeClosed, match="transport was closed"):
        await waiting
    assert transport.connections().open == 0
    with pytest.raises(RuntimeError, match="transport is closed"):
        await exchange(transport, node.origin)


async def test_closing_the_transport_stops_a_connection_in_the_making(serve: Serve) -> None:
    node = await serve(replying(sized(b"hello")))
    transport = NodeTransport()
    waiting = asyncio.create_task(exchange(transport, node.origin))
    await asyncio.sleep(0)
    await transport.aclose()
    with pytest.raises(NodeUnreachable, match="transport was closed"):
        await waiting
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


async def test_a_closed_reply_gives_an_error_and_no_end(serve: Serve, transport: NodeTransport) -> None:
    async def handler(side: NodeSide) -> None:
        await side.request()
        await side.send(CHUNKED_HEAD + chunk(b"some"))
        await side.closed_by_client()

    node = await serve(handler)
    reply = await transport.send(node.origin, b"POST", b"/", [], b"")
    await reply.aclose()
    with pytest.raises(NodeClosed, match="on this side"):
        await anext(reply)
    await reply.aclose()
    assert transport.connections().open == 0
    await eventually(lambda: node.open == 0)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NodeClosed, "node http://gpu1:1: gone (while reading the reply)"),
        (NodeError, "node http://gpu1:1: gone"),
    ],
)
async def test_an_error_names_node_reason_and_phase(error: type[NodeError], text: str) -> None:
    assert text in str(error(Origin("gpu1", 1), Phase.BODY, "gone"))

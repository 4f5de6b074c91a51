"""Every async test of the transport runs on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest_asyncio
import uvloop

from bridge.transport import NodeTransport
from tests.bridge.transport.socket_node import Handler, SocketNode

Serve = Callable[..., Awaitable[SocketNode]]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[NodeTransport]:
    transport = NodeTransport()
    yield transport
    await transport.aclose()
    assert transport.connections().open == 0


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start nodes that live as long as the test."""
    nodes: list[SocketNode] = []

    async def start(handler: Handler, **options: object) -> SocketNode:
        node = SocketNode(handler, **options)
        nodes.append(node)
        await node.start()
        return node

    yield start
    for node in nodes:
        await node.stop()

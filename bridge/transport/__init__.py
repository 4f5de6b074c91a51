"""HTTP/1.1 towards nodes, on asyncio and httptools.

httpx's own pool scans every connection at each request and loses slots when requests are cancelled; a
gateway has hundreds of streams and cancels all day. `docs/performance.md` has the figures.
"""

from __future__ import annotations

from bridge.transport.errors import (
    NodeClosed,
    NodeError,
    NodeProtocolError,
    NodeTimeout,
    NodeUnreachable,
    Phase,
)
from bridge.transport.node_transport import NodeTransport
from bridge.transport.origin import Origin
from bridge.transport.pool import Connections
from bridge.transport.reply import Reply

__all__ = [
    "Connections",
    "NodeClosed",
    "NodeError",
    "NodeProtocolError",
    "NodeTimeout",
    "NodeTransport",
    "NodeUnreachable",
    "Origin",
    "Phase",
    "Reply",
]

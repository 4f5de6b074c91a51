"""HTTP/1.1 towards nodes, on asyncio and httptools.

httpx's own pool scans every connection at each request, which at 32 of them costs twenty times as much as
the request itself, and it gives up a POST that meets a connection which the node has just closed.
`docs/performance.md` has the figures.
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

"""What can go wrong between the bridge and a node.

NodeError
├── NodeUnreachable    no connection: refused, no such host, TLS handshake failed
├── NodeTimeout        a deadline passed, in the phase it names
├── NodeProtocolError  the node's bytes are not a sound HTTP/1.1 reply, or exceed a limit
└── NodeClosed         the connection ended before the reply did
"""

from __future__ import annotations

from enum import StrEnum

from bridge.transport.origin import Origin


class Phase(StrEnum):
    """How far an exchange with a node had come; it decides whether another node may be tried."""

    CONNECT = "connecting"
    REQUEST = "sending the request"
    HEAD = "waiting for the reply"
    BODY = "reading the reply"


class NodeError(Exception):
    """An exchange with a node failed; `phase` says how far it had come."""

    def __init__(self, origin: Origin, phase: Phase, reason: str) -> None:
        super().__init__(f"node {origin}: {reason} (while {phase})")
        self.origin = origin
        self.phase = phase
        self.reason = reason


class NodeUnreachable(NodeError):
    """No connection could be made."""


class NodeTimeout(NodeError):
    """The node stayed silent longer than it may."""


class NodeProtocolError(NodeError):
    """The reply is malformed or larger than allowed."""


class NodeClosed(NodeError):
    """The connection ended before the reply did."""

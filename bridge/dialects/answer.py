"""What all encoders share: how an answer ends, and what holds until a dialect says otherwise."""

from __future__ import annotations

from typing import Any

from bridge.dialects import counts as counting
from bridge.dialects import sse
from bridge.dialects.counts import Counts
from bridge.dialects.inner import Inner, NodeFault

JSON = b"application/json; charset=utf-8"


class Answer:
    """The common part of an encoder."""

    __slots__ = ("content_type", "counts", "finished")

    def __init__(self, inner: Inner, stream_type: bytes = sse.CONTENT_TYPE) -> None:
        self.content_type = stream_type if inner.stream else JSON
        self.finished = False
        self.counts: Counts | None = None

    def start(self) -> bytes:
        return b""

    def heartbeat(self) -> bytes:
        return sse.HEARTBEAT

    def _end(self, reply: dict[str, Any]) -> Counts:
        self.finished = True
        self.counts = counting.of(reply)
        return self.counts

    def _end_whole(self, reply: dict[str, Any]) -> Counts:
        """Raises NodeFault where a reply that is no stream lacks its end mark."""
        if reply.get("done") is not True:
            raise NodeFault("the node's reply has no end mark (done: true)", kind="node_garbage")
        return self._end(reply)

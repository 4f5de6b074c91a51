"""The one inner request that every dialect is read into, and the shape of what writes the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import orjson

if TYPE_CHECKING:
    from bridge.dialects.counts import Counts
    from bridge.dialects.failure import Failure

Route = Literal["chat", "generate", "embed", "embeddings"]
Purpose = Literal["generate", "load", "unload"]
Headers = list[tuple[bytes, bytes]]


class BadRequest(ValueError):
    """The client's request cannot be read; the message names the field and says what it takes."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status


class NodeFault(Exception):
    """The node's stream or reply says that it failed, or is not what a node sends."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind  # "node_error": the node said so; "node_garbage": it cannot be read


@dataclass(slots=True, kw_only=True)
class Inner:
    """What a client asked for, in the words of the node's native API.

    `body` lacks what the relay decides: model, the profile's options, keep_alive and shift.
    """

    route: Route
    model: str  # as the client wrote it
    stream: bool  # the client wants a stream
    body: dict[str, Any]
    purpose: Purpose = "generate"  # the bridge answers "load" and "unload" itself: see ollama.emptied
    needs: frozenset[str] = frozenset()  # capabilities without which the request must be refused
    wants: frozenset[str] = frozenset()  # capabilities used when there: see without()
    prompt_bytes: int = 0  # UTF-8 bytes of text that become prompt tokens, an estimate
    images: int = 0  # images and audio clips
    inputs: int = 0  # texts to embed
    max_tokens: int | None = None
    num_ctx: int | None = None  # asked for by the client
    keep_alive_s: float | None = None  # asked for by the client; infinity for "for ever"
    include_usage: bool = False  # openai: a last chunk with usage
    encoding_format: Literal["float", "base64"] = "float"  # openai embeddings
    echo: dict[str, Any] = field(default_factory=dict)  # what the dialect's answer repeats

    @property
    def keep_alive_given(self) -> bool:
        return self.keep_alive_s is not None

    def without(self, capability: str) -> None:
        """Drop what asks for a wanted capability that the model lacks."""
        self.wants -= {capability}
        if capability == "thinking":
            self.body.pop("think", None)

    def payload(self) -> bytes:
        """The body as bytes for the node. Raises BadRequest when it is nested deeper than JSON writers go."""
        try:
            return orjson.dumps(self.body)
        except TypeError:
            raise BadRequest("the request is nested too deeply; at most 250 levels") from None


class Encoder(Protocol):
    """Writes one answer in the client's dialect.

    A stream is start(), then event() for each line of the node with heartbeat() in between, or failure() as
    the last bytes. A reply that is no stream is whole().
    """

    @property
    def content_type(self) -> bytes: ...

    @property
    def finished(self) -> bool:
        """The node sent its positive end mark, `done: true`."""
        ...

    @property
    def counts(self) -> Counts | None:
        """There once finished."""
        ...

    def start(self) -> bytes:
        """The bytes that open the stream; called once, before anything else."""
        ...

    def event(self, line: bytes) -> bytes:
        """One line of the node as bytes for the client, perhaps none. Raises NodeFault."""
        ...

    def heartbeat(self) -> bytes:
        """Bytes that keep the connection alive and that the dialect's clients ignore."""
        ...

    def failure(self, failure: Failure) -> bytes:
        """The bytes that end a begun stream so that the dialect's official client raises."""
        ...

    def whole(self, body: bytes) -> bytes:
        """The node's reply that is no stream, as the client's. Raises NodeFault."""
        ...


class MakeEncoder(Protocol):
    """Makes the encoder of one answer."""

    def __call__(self, inner: Inner, *, request_id: str, created: int) -> Encoder:
        """`created` is in Unix seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one family of routes is read and written."""

    name: str
    read: Callable[[bytes], Inner]  # raises BadRequest
    encoder: MakeEncoder
    failure: Callable[[Failure, str], tuple[int, Headers, bytes]]  # before the stream: status, headers, body

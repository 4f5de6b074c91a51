"""POST /v1/embeddings."""

from __future__ import annotations

import sys
from array import array
from binascii import b2a_base64

import orjson

from bridge.dialects import fields, node_lines, openai_shapes, sampling
from bridge.dialects.answer import Answer
from bridge.dialects.conversation import size
from bridge.dialects.failure import Failure
from bridge.dialects.inner import BadRequest, Dialect, Inner, NodeFault
from bridge.dialects.openai_shapes import failure

__all__ = ["EMBEDDINGS", "read"]


def read(payload: bytes) -> Inner:
    """The request as one for /api/embed. Raises BadRequest."""
    body = fields.parse(payload)
    texts = _texts(body.get("input"))
    native: fields.Object = {"input": texts}
    dimensions = fields.integer(body, "dimensions")
    if dimensions is not None:
        if dimensions < 1:
            raise BadRequest("dimensions must be at least 1", param="dimensions")
        native["dimensions"] = dimensions
    form = (fields.string(body, "encoding_format") or "float").lower()
    if form not in ("float", "base64"):
        raise BadRequest("encoding_format takes float or base64", param="encoding_format")
    inner = sampling.inner(
        body,
        native,
        route="embed",
        limits=(),
        needs=frozenset({"embedding"}),
        prompt_bytes=sum(map(size, texts)),
        inputs=len(texts),
        encoding_format=form,
    )
    inner.stream = False  # this route has no streams
    return inner


def _texts(given: object) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise BadRequest("input must be a string or an array of strings", param="input")
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            hint = "token arrays are not supported, send the text"
            raise BadRequest(f"input[{at}] must be a string, not {fields.kind(text)}; {hint}", param="input")
    return texts


class EmbeddingList(Answer):
    """Vectors as numbers, or as base64 of little-endian 32-bit floats."""

    __slots__ = ("_base64", "_model", "_request_id")

    def __init__(self, inner: Inner, *, request_id: str, created: int) -> None:
        super().__init__(inner)
        self._base64 = inner.encoding_format == "base64"
        self._model = inner.model
        self._request_id = request_id

    def event(self, line: bytes) -> bytes:
        return self.whole(line)

    def failure(self, failure: Failure) -> bytes:
        return openai_shapes.failed_stream(failure, self._request_id)

    def whole(self, body: bytes) -> bytes:
        reply = node_lines.parse(body)
        vectors = reply.get("embeddings")
        if not isinstance(vectors, list):
            raise NodeFault("the node's reply has no embeddings", kind="node_garbage")
        data = [
            {"object": "embedding", "index": at, "embedding": self._encoded(vector)}
            for at, vector in enumerate(vectors)
        ]
        counts = self._end(reply)
        usage = {"prompt_tokens": counts.prompt_tokens, "total_tokens": counts.prompt_tokens}
        return orjson.dumps({"object": "list", "data": data, "model": self._model, "usage": usage})

    def _encoded(self, vector: object) -> str | list[float]:
        if isinstance(vector, list):
            try:
                packed = array("f", vector)  # also the cheapest look at whether all of them are numbers
            except TypeError:
                pass
            else:
                return base64(packed) if self._base64 else vector
        raise NodeFault("the node sent an embedding that is no list of numbers", kind="node_garbage")


def base64(packed: array[float]) -> str:
    """Little-endian 32-bit floats, as OpenAI's clients decode them."""
    if sys.byteorder == "big":
        packed.byteswap()
    return b2a_base64(packed.tobytes(), newline=False).decode()


EMBEDDINGS = Dialect(name="openai-embeddings", read=read, encoder=EmbeddingList, failure=failure)

"""A node that costs next to nothing: the same answer always, native and OpenAI, on uvloop and httptools.

The prompt says how it streams: "chunks=20 gap=10 wait=0" is 20 chunks 10 ms apart, the first at once.
Every chunk carries the moment it was sent, so that the receiver knows how long it was on its way.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable
from functools import partial

import httptools
import uvloop

MODEL = "bench"
MARK = b"@"
MARK_DIGITS = 14  # microseconds of the monotonic clock
DIGEST = "a" * 64

_PROMPT = re.compile(rb"chunks=(\d+) gap=(\d+) wait=(\d+)")
_STREAM = re.compile(rb'"stream":\s*(true|false)')
_NUM_CTX = re.compile(rb'"num_ctx":\s*(\d+)')
_SLOT = b"0" * MARK_DIGITS

_NATIVE_CHUNK = (
    b'{"model":"bench","created_at":"2026-11-23T10:00:00.123456789Z",'
    b'"message":{"role":"assistant","content":" @' + _SLOT + b'"},"done":false}\n'
)
_NATIVE_END = (
    b'"done":true,"done_reason":"stop","total_duration":174560334,"load_duration":101397084,'
    b'"prompt_eval_count":11,"prompt_eval_duration":13074791,"eval_count":18,"eval_duration":52479709}'
)
_NATIVE_LAST = (
    b'{"model":"bench","created_at":"2026-11-23T10:00:00.123456789Z",'
    b'"message":{"role":"assistant","content":""},' + _NATIVE_END + b"\n"
)
_NATIVE_WHOLE = (
    b'{"model":"bench","created_at":"2026-11-23T10:00:00.123456789Z",'
    b'"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog."},' + _NATIVE_END
)
_OPENAI_CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763892000,"model":"bench",'
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":" @'
    + _SLOT
    + b'"},"finish_reason":null}]}\n\n'
)
_OPENAI_LAST = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763892000,"model":"bench",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":11,"completion_tokens":18,"total_tokens":29}}\n\ndata: [DONE]\n\n'
)
_OPENAI_WHOLE = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1763892000,"model":"bench","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog."},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":18,"total_tokens":29}}'
)
_DETAILS = (
    b'{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"1B",'
    b'"quantization_level":"Q4_0"}'
)
_ENTRY = (
    b'"name":"bench:latest","model":"bench:latest","size":1000000000,"digest":"'
    + DIGEST.encode()
    + b'","details":'
    + _DETAILS
)
_TAGS = b'{"models":[{' + _ENTRY + b',"modified_at":"2026-11-01T00:00:00Z"}]}'
_SHOW = (
    b'{"details":'
    + _DETAILS
    + b',"capabilities":["completion"],"model_info":{"general.architecture":"llama",'
    + b'"llama.context_length":131072,"llama.block_count":16,"llama.embedding_length":2048,'
    + b'"llama.attention.head_count":32,"llama.attention.head_count_kv":8},'
    + b'"modified_at":"2026-11-01T00:00:00Z"}'
)
_LOADED = (
    b'{"model":"bench","created_at":"2026-11-23T10:00:00Z","response":"","done":true,"done_reason":"load"}'
)


def _reply(body: bytes, kind: bytes = b"application/json; charset=utf-8") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


def _stream_head(kind: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % kind


class _Wire:
    """One dialect's bytes, ready to send; a chunk is cut where the moment goes in."""

    def __init__(self, kind: bytes, chunk: bytes, last: bytes, whole: bytes) -> None:
        framed = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        self.before, self.after = framed.split(_SLOT)
        self.head = _stream_head(kind)
        self.last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last)
        self.whole = _reply(whole)

    def chunk(self) -> bytes:
        return b"%b%014d%b" % (self.before, time.monotonic_ns() // 1000, self.after)


_NATIVE = _Wire(b"application/x-ndjson", _NATIVE_CHUNK, _NATIVE_LAST, _NATIVE_WHOLE)
_OPENAI = _Wire(b"text/event-stream", _OPENAI_CHUNK, _OPENAI_LAST, _OPENAI_WHOLE)
_FIXED = {
    b"/api/tags": _reply(_TAGS),
    b"/api/show": _reply(_SHOW),
    b"/api/version": _reply(b'{"version":"0.31.0"}'),
    b"/v1/models": _reply(
        b'{"object":"list","data":[{"id":"bench","object":"model","created":1,"owned_by":"x"}]}'
    ),
    b"/": _reply(b"Ollama is running", b"text/plain"),
}


class Upstream(asyncio.Protocol):
    """One connection; one request at a time on it."""

    num_ctx = 4096  # of the one model, which is always loaded

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self.writable = True
        self.held: Callable[[], None] | None = None  # what goes on when the proxy reads again
        self.url = b""
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        held, self.held = self.held, None
        if held is not None:
            held()

    def on_url(self, url: bytes) -> None:
        self.url = url
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.url == b"/api/chat":
            self.answer(_NATIVE, default=b"true")
        elif self.url == b"/v1/chat/completions":
            self.answer(_OPENAI, default=b"false")
        elif self.url == b"/api/ps":
            self.transport.write(_reply(self.processes()))
        elif self.url == b"/api/generate":
            if found := _NUM_CTX.search(self.body):
                Upstream.num_ctx = int(found[1])
            self.transport.write(_reply(_LOADED))
        else:
            missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            self.transport.write(_FIXED.get(self.url, missing))

    @classmethod
    def processes(cls) -> bytes:
        return (
            b'{"models":[{%b,"expires_at":"2318-01-01T00:00:00Z","size_vram":1000000000,"context_length":%d}]}'
            % (_ENTRY, cls.num_ctx)
        )

    def answer(self, wire: _Wire, default: bytes) -> None:
        stream = _STREAM.search(self.body)
        prompt = _PROMPT.search(self.body)
        chunks, gap_ms, wait_ms = map(int, prompt.groups()) if prompt else (1, 0, 0)
        if (stream[1] if stream else default) == b"false":
            self.later(wait_ms, self.transport.write, wire.whole)
        else:
            self.later(wait_ms, self.start, wire, chunks, gap_ms)

    def later(self, milliseconds: int, call: Callable[..., None], *args: object) -> None:
        if milliseconds:
            self.timer = self.loop.call_later(milliseconds / 1000, call, *args)
        else:
            call(*args)

    def start(self, wire: _Wire, chunks: int, gap_ms: int) -> None:
        self.transport.write(wire.head + wire.chunk())
        self.next(wire, chunks - 1, self.loop.time(), gap_ms / 1000)

    def next(self, wire: _Wire, left: int, sent_at: float, gap: float) -> None:
        """One write for each chunk and each turn of the loop, as a model writes them."""
        if gap:
            self.timer = self.loop.call_at(sent_at + gap, self.step, wire, left, sent_at + gap, gap)
        else:
            self.timer = self.loop.call_soon(self.step, wire, left, sent_at, gap)

    def step(self, wire: _Wire, left: int, due: float, gap: float) -> None:
        if not self.writable:
            self.held = partial(self.step, wire, left, due, gap)
        elif left > 0:
            self.transport.write(wire.chunk())
            self.next(wire, left - 1, due, gap)
        else:
            self.transport.write(wire.last)


async def serve(port: int) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)


async def main(port: int) -> None:
    server = await serve(port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

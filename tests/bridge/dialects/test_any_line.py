"""Whatever a node sends is bytes for the client or a NodeFault, and no text is lost on the way."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dialects.failure import Failure
from bridge.dialects.inner import Encoder, Inner, NodeFault
from tests.bridge.dialects.exchange import CREATED, DIALECTS, REQUEST_ID, chat, text
from tests.bridge.dialects.test_any_request import FULL, JSON, TEXT

STREAMS = {
    "/api/chat": chat,
    "/v1/chat/completions": chat,
    "/v1/responses": chat,
    "/v1/messages": chat,
    "/api/generate": text,
    "/v1/completions": text,
}
KEYS = (
    "message response done done_reason logprobs error content thinking tool_calls function name arguments id "
    "token logprob top_logprobs bytes embeddings embedding prompt_eval_count model created_at"
)
NODE_JSON = st.recursive(
    JSON | st.just("stop") | st.just([[0.5]]),
    lambda inner: (
        st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=6) | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)

DEEP = b'{"a":' * 400 + b"1" + b"}" * 400  # orjson reads it and does not write it


def asked(path: str, *, stream: bool) -> Inner:
    request = FULL[path] | {"stream": stream, "echo": False, "stream_options": {"include_usage": True}}
    return DIALECTS[path].read(orjson.dumps(request))


def made(path: str, *, stream: bool = True) -> Encoder:
    inner = asked(path, stream=stream)
    return DIALECTS[path].encoder(inner, request_id=REQUEST_ID, created=CREATED)


def sse(out: bytes) -> list[dict[str, Any]]:
    """The data of each event; raises where the framing or the JSON is wrong."""
    assert out.endswith(b"\n\n")
    found = []
    for block in out[:-2].split(b"\n\n"):
        lines = block.split(b"\n")
        assert all(line.startswith((b"event: ", b"data: ")) for line in lines)
        (data,) = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
        if data != b"[DONE]":
            found.append(orjson.loads(data))
    return found


def said(path: str, out: bytes) -> tuple[str, str]:
    """Text and reasoning that a client would put together."""
    if path.startswith("/api"):
        lines = [orjson.loads(line) for line in out.splitlines()]
        messages = [line.get("message") or {"content": line.get("response", "")} for line in lines]
        return "".join(m["content"] for m in messages), "".join(m.get("thinking", "") for m in messages)
    events = sse(out)
    if path == "/v1/completions":
        return "".join(e["choices"][0]["text"] for e in events if e["choices"]), ""
    if path == "/v1/chat/completions":
        deltas = [e["choices"][0]["delta"] for e in events if e["choices"]]
        return "".join(d.get("content", "") for d in deltas), "".join(d.get("reasoning", "") for d in deltas)
    if path == "/v1/messages":
        deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
        return "".join(d.get("text", "") for d in deltas), "".join(d.get("thinking", "") for d in deltas)
    kinds = ("response.output_text.delta", "response.reasoning_summary_text.delta")
    one, other = ("".join(e["delta"] for e in events if e["type"] == kind) for kind in kinds)
    return one, other


@pytest.mark.parametrize("path", STREAMS)
@settings(max_examples=40)
@given(pieces=st.lists(st.tuples(TEXT, TEXT), max_size=8), last=TEXT)
def test_the_pieces_of_a_stream_make_the_whole_text(
    path: str, pieces: list[tuple[str, str]], last: str
) -> None:
    line = STREAMS[path]
    lines = [line(words, thinking=thought) if line is chat else line(words) for words, thought in pieces]
    encoder = made(path)
    out = encoder.start() + b"".join(encoder.event(orjson.dumps(one)) for one in lines)
    assert not encoder.finished
    out += encoder.event(orjson.dumps(line(last, done="stop")))
    assert encoder.finished
    assert encoder.counts is not None
    assert encoder.counts.output_tokens == 9
    words, thoughts = said(path, out)
    assert words == "".join(piece for piece, _ in pieces) + last
    if line is chat:
        assert thoughts == "".join(thought for _, thought in pieces)


@pytest.mark.parametrize("path", STREAMS)
@settings(max_examples=40)
@given(lines=st.lists(NODE_JSON, max_size=4))
def test_any_json_of_a_node_is_encoded_or_is_its_fault(path: str, lines: list[Any]) -> None:
    encoder = made(path)
    out = encoder.start()
    for line in lines:
        try:
            out += encoder.event(orjson.dumps(line))
        except NodeFault as fault:
            broken = Failure(status=502, message=fault.message, kind=fault.kind, source="node")
            out += encoder.failure(broken)
            break
    if out and not path.startswith("/api"):
        sse(out)


@pytest.mark.parametrize("path", DIALECTS)
@settings(max_examples=40)
@given(body=NODE_JSON)
def test_any_whole_reply_of_a_node_is_encoded_or_is_its_fault(path: str, body: Any) -> None:
    encoder = made(path, stream=False)
    try:
        out = encoder.whole(orjson.dumps(body))
    except NodeFault:
        assert not encoder.finished
    else:
        assert isinstance(orjson.loads(out), dict)
        assert encoder.finished


@pytest.mark.parametrize("path", STREAMS)
def test_a_reply_given_up_leaves_no_trace_in_the_next(path: str) -> None:
    calls = [{"function": {"name": "f", "arguments": {}}}]
    line = STREAMS[path]
    tried, fresh = made(path, stream=False), made(path, stream=False)
    with pytest.raises(NodeFault, match="no end mark"):
        tried.whole(
            orjson.dumps(chat("a", thinking="b", tool_calls=calls) | text("a", logprobs=[{"token": "a"}]))
        )
    good = orjson.dumps(line("Hello", done="stop"))
    assert tried.whole(good) == fresh.whole(good)


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[]", b"null", b'"x"', b'{"error":"out of memory"}'])
def test_what_is_no_reply_is_the_nodes_fault(path: str, raw: bytes) -> None:
    for take in (made(path).event, made(path, stream=False).whole):
        with pytest.raises(NodeFault) as caught:
            take(raw)
        assert caught.value.kind == ("node_error" if b"memory" in raw else "node_garbage")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_arguments_nested_deeper_than_json_is_written_are_the_nodes_fault(path: str) -> None:
    calls = [{"function": {"name": "f", "arguments": "deep"}}]
    line = orjson.dumps(chat(tool_calls=calls, done="stop")).replace(b'"deep"', DEEP)
    streaming, whole = made(path), made(path, stream=False)
    for take in (streaming.event, whole.whole):
        with pytest.raises(NodeFault, match="nested too deeply"):
            take(line)
    assert not streaming.finished
    assert not whole.finished


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/completions"])
def test_logprobs_that_are_no_numbers_do_no_harm(path: str) -> None:
    odd = [{"token": "a", "logprob": "deep", "bytes": "deep", "top_logprobs": "deep"}]
    line = orjson.dumps(STREAMS[path]("a", logprobs=odd)).replace(b'"deep"', DEEP)
    encoder = made(path)
    assert b'"a"' in encoder.start() + encoder.event(line)

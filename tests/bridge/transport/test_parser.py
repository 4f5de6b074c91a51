from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.transport.parser import Malformed, ReplyParser
from bridge.transport.reply import Reply
from tests.bridge.transport.socket_node import CHUNKED_HEAD, chunk, chunked, sized

MAX_HEAD = 4096


class Sink(Reply):
    """A reply nobody waits for."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]

    @property
    def body(self) -> bytes:
        return b"".join(self._chunks)


def parse(*parts: bytes, method: bytes = b"POST", eof: bool = False) -> tuple[ReplyParser, Sink]:
    parser, sink = ReplyParser(MAX_HEAD), Sink()
    parser.expect(sink, method)
    for part in parts:
        parser.feed(part)
    if eof:
        parser.feed_eof()
    return parser, sink


WHOLE = {
    "length": (sized(b"hello"), b"hello", True),
    "empty": (sized(b""), b"", True),
    "chunks": (chunked(b"he", b"l", b"lo" * 20), b"hel" + b"lo" * 20, True),
    "chunk extension": (CHUNKED_HEAD + b"5;a=b\r\nhello\r\n0\r\n\r\n", b"hello", True),
    "trailers": (CHUNKED_HEAD + chunk(b"hello") + b"0\r\nX-Sum: 1\r\nX-End: 2\r\n\r\n", b"hello", True),
    "interim replies": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + sized(b"hello"),
        b"hello",
        True,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", b"", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True),
    "close": (sized(b"hello", b"Connection: close"), b"hello", False),
    "http/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
}
TO_EOF = {
    "no framing": b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nhello",
    "http/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
}


def cuts(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """The bytes in two parts, cut at every place, and one by one."""
    for place in range(1, len(data)):
        yield data[:place], data[place:]
    yield tuple(data[i : i + 1] for i in range(len(data)))


@pytest.mark.parametrize("name", WHOLE)
def test_a_reply_is_the_same_wherever_it_is_cut(name: str) -> None:
    raw, body, reusable = WHOLE[name]
    for parts in cuts(raw):
        parser, sink = parse(*parts)
        assert parser.complete
        assert sink.ended
        assert sink.body == body
        assert sink.status == int(raw[raw.rindex(b"HTTP/1.") + 9 :][:3])
        assert parser.reusable is reusable


@pytest.mark.parametrize("name", WHOLE)
def test_a_reply_cut_off_anywhere_is_not_complete(name: str) -> None:
    raw = WHOLE[name][0]
    for place in range(1, len(raw)):
        parser, sink = parse(raw[:place], eof=True)
        assert not parser.complete
        assert not sink.ended


@pytest.mark.parametrize("name", TO_EOF)
def test_a_body_without_a_frame_ends_with_the_connection(name: str) -> None:
    for parts in cuts(TO_EOF[name]):
        parser, sink = parse(*parts)
        assert not parser.complete
        assert parser.feed_eof()
        assert sink.body == b"hello"
        assert sink.ended
        assert not parser.reusable


def test_a_head_alone_is_the_whole_reply_to_head() -> None:
    parser, sink = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method=b"HEAD")
    assert parser.complete
    assert sink.body == b""
    assert not parser.reusable


def test_a_body_in_the_reply_to_head_is_dropped() -> None:
    parser, sink = parse(sized(b"hello"), method=b"HEAD")
    assert parser.complete
    assert sink.body == b""


def test_headers_have_lower_case_names_and_keep_their_order() -> None:
    _, sink = parse(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX-B:  c d \r\nset-cookie: e\r\nContent-Length: 0\r\n\r\n"
    )
    assert sink.headers == [
        (b"set-cookie", b"a"),
        (b"x-b", b"c d"),
        (b"set-cookie", b"e"),
        (b"content-length", b"0"),
    ]
    assert sink.header(b"set-cookie") == b"a"
    assert sink.header(b"none") is None


def test_a_header_may_be_empty() -> None:
    _, sink = parse(b"HTTP/1.1 200 OK\r\nX-A:\r\nX-B: c\r\nX-C: \r\nContent-Length: 0\r\n\r\n")
    assert sink.headers == [(b"x-a", b""), (b"x-b", b"c"), (b"x-c", b""), (b"content-length", b"0")]


def test_the_next_reply_follows_and_takes_nothing_from_the_last() -> None:
    parser, _ = parse(CHUNKED_HEAD + chunk(b"one") + b"0\r\nX-Trailer: 1\r\n\r\n")
    for body in (b"two", b"three"):
        sink = Sink()
        parser.expect(sink, b"POST")
        parser.feed(sized(body))
        assert sink.body == body
        assert sink.header(b"x-trailer") is None
        assert parser.reusable


def test_bytes_after_the_end_spoil_the_connection_and_not_the_reply() -> None:
    for surplus in (b"x", sized(b"again"), b"\0\0"):
        parser, sink = parse(sized(b"hello") + surplus)
        assert parser.complete
        assert sink.body == b"hello"
        assert not parser.reusable


MALFORMED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01",
    "html": b"<html>",
    "wrong version": b"HTTP/3.9 200 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "status zero": b"HTTP/1.1 000 OK\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "101 without upgrade": b"HTTP/1.1 101 Switching\r\n\r\n",
    "length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "length and chunks": CHUNKED_HEAD[:-2] + b"Content-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunk size that is no number": CHUNKED_HEAD + b"zz\r\nhello\r\n",
    "chunk size too large": CHUNKED_HEAD + b"f" * 17 + b"\r\n",
    "chunk longer than its size": CHUNKED_HEAD + b"2\r\nhello\r\n",
    "header without colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    "header name with a blank": b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
    "control character in a header": b"HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n",
    "folded header": b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
    "large header": b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD + b"\r\nContent-Length: 0\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * MAX_HEAD + b"Content-Length: 0\r\n\r\n",
    "interim replies without end": b"HTTP/1.1 100 Continue\r\n\r\n" * MAX_HEAD,
    "large trailer": CHUNKED_HEAD + b"0\r\nx: " + b"y" * MAX_HEAD + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_reply_is_refused_wherever_it_is_cut(name: str) -> None:
    raw = MALFORMED[name]
    with pytest.raises(Malformed, match=r".{8}"):
        parse(raw)
    if len(raw) < 1000:
        for parts in cuts(raw):
            with pytest.raises(Malformed):
                parse(*parts)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 100),
        (b"HTTP/1.1 ", b"2" * 100),
        (b"HTTP/1.1 200 ", b"y" * 100),
        (CHUNKED_HEAD + b"5;", b"y" * 100),
        (CHUNKED_HEAD + b"0\r\nx: ", b"y" * 100),
        (b"", b"\r\n" * 50),
    ],
    ids=["header", "status", "reason", "chunk extension", "trailer", "blank lines"],
)
def test_what_never_becomes_a_head_or_a_body_is_bounded(start: bytes, more: bytes) -> None:
    with pytest.raises(Malformed):
        parse(start, *[more] * (MAX_HEAD // len(more) + 1))


def test_a_long_body_in_small_chunks_is_not_taken_for_a_long_head() -> None:
    parser, sink = parse(CHUNKED_HEAD)
    for _ in range(MAX_HEAD):
        parser.feed(chunk(b"ab"))
    assert sink.buffered == 2 * MAX_HEAD


PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"Content-Length: 3\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"0\r\n\r\n",
        b"abc",
        b"Connection: close\r\n",
        b"\0",
        b"\xff",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=20), max_size=12), st.integers(1, 7))
def test_any_bytes_are_a_reply_or_malformed_and_no_more_comes_out_than_went_in(
    pieces: list[bytes], step: int
) -> None:
    raw = b"".join(pieces)
    parser, sink = ReplyParser(MAX_HEAD), Sink()
    parser.expect(sink, b"POST")
    try:
        for place in range(0, len(raw), step):
            parser.feed(raw[place : place + step])
            if parser.complete:
                break
        parser.feed_eof()
    except Malformed:
        assert not parser.complete
    assert len(sink.body) <= len(raw)
    assert sink.ended is parser.complete
    assert sink.started or not sink.body

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.transport.origin import Origin
from bridge.transport.request import Body, encode_chunk, encode_request

NODE = Origin("127.0.0.1", 11434)


async def stream() -> AsyncIterator[bytes]:
    yield b"part"


def head(method: bytes = b"POST", *headers: tuple[bytes, bytes], body: Body = b"") -> list[bytes]:
    encoded = encode_request(NODE, method, b"/api/chat?x=1", headers, body).head
    assert encoded.endswith(b"\r\n\r\n")
    return encoded[:-4].split(b"\r\n")


def test_a_request_has_line_host_and_length() -> None:
    assert head(b"POST", (b"content-type", b"application/json"), body=b"{}") == [
        b"POST /api/chat?x=1 HTTP/1.1",
        b"content-type: application/json",
        b"host: 127.0.0.1:11434",
        b"content-length: 2",
    ]


def test_the_callers_host_wins() -> None:
    lines = head(b"GET", (b"Host", b"gateway"))
    assert b"host: gateway" in lines
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("method", "declared"), [(b"GET", False), (b"HEAD", False), (b"POST", True), (b"PUT", True)]
)
def test_an_empty_body_is_declared_only_where_a_body_is_usual(method: bytes, declared: bool) -> None:
    assert (b"content-length: 0" in head(method)) is declared


def test_a_stream_goes_in_chunks_unless_its_length_is_known() -> None:
    assert b"transfer-encoding: chunked" in head(b"POST", body=stream())
    known = head(b"POST", (b"Content-Length", b"4"), body=stream())
    assert b"content-length: 4" in known
    assert b"transfer-encoding: chunked" not in known


def test_framing_and_hop_by_hop_headers_of_the_caller_do_not_pass() -> None:
    lines = head(
        b"POST",
        (b"Content-Length", b"99"),
        (b"Transfer-Encoding", b"gzip"),
        (b"Connection", b"close"),
        (b"Expect", b"100-continue"),
        (b"Upgrade", b"h2c"),
        body=b"{}",
    )
    assert lines == [b"POST /api/chat?x=1 HTTP/1.1", b"host: 127.0.0.1:11434", b"content-length: 2"]


@pytest.mark.parametrize(
    "value", [b"a\r\nx: y", b"a\nx: y", b"a\rx", b"a\0b", b"a\r\n\r\nGET / HTTP/1.1"], ids=repr
)
def test_a_value_cannot_become_a_header_or_a_request(value: bytes) -> None:
    with pytest.raises(ValueError, match="control character"):
        encode_request(NODE, b"POST", b"/", [(b"x", value)], b"")
    with pytest.raises(ValueError, match="control character"):
        encode_request(NODE, b"POST", b"/" + value, [], b"")


def test_a_blank_in_the_target_is_refused() -> None:
    with pytest.raises(ValueError, match="blank"):
        encode_request(NODE, b"GET", b"/a b", [], b"")


@pytest.mark.parametrize("value", [b"-1", b"1e3", b"", b"0x10"])
def test_a_length_that_is_no_number_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="whole number"):
        encode_request(NODE, b"POST", b"/", [(b"content-length", value)], stream())


def test_a_chunk_carries_its_size_in_hexadecimal() -> None:
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"

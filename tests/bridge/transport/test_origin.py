from __future__ import annotations

import pytest

from bridge.transport import Origin


@pytest.mark.parametrize(
    ("url", "origin", "header", "text"),
    [
        ("http://127.0.0.1:11434", ("127.0.0.1", 11434, False), b"127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("http://gpu1", ("gpu1", 80, False), b"gpu1", "http://gpu1"),
        ("https://gpu1.example/base", ("gpu1.example", 443, True), b"gpu1.example", "https://gpu1.example"),
        ("http://[::1]:11434", ("::1", 11434, False), b"[::1]:11434", "http://[::1]:11434"),
        ("https://bücher.example:80", ("xn--bcher-kva.example", 80, True), None, None),
    ],
)
def test_an_address_becomes_an_origin(
    url: str, origin: tuple[str, int, bool], header: bytes | None, text: str | None
) -> None:
    parsed = Origin.parse(url)
    assert (parsed.host, parsed.port, parsed.tls) == origin
    assert header is None or parsed.host_header == header
    assert text is None or str(parsed) == text


@pytest.mark.parametrize("url", ["gpu1:11434", "ftp://gpu1", "http://", "", "http://gpu1:99999"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"address of a node|Port"):
        Origin.parse(url)


def test_equal_origins_share_their_connections() -> None:
    assert Origin.parse("http://a:1") == Origin("a", 1)
    assert len({Origin("a", 1), Origin("a", 1), Origin("a", 2), Origin("a", 1, True)}) == 3

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.addresses import CLAIMS, believed, client_address, networks, within

PROXIES = networks(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "203.0.113.9", "192.0.2.7"),  # not a trusted proxy: what it says counts for nothing
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the client wrote the left one itself
        ("127.0.0.1", "203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", "2001:db9::1", "2001:db9::1"),
        ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", " , ,", "127.0.0.1"),
        ("127.0.0.1", "unknown", "unknown"),
        ("", "203.0.113.9", ""),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_trusted_proxy(
    peer: str, forwarded: str, address: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


@given(st.ip_addresses().map(str), st.text())
def test_an_untrusted_peer_is_always_itself(peer: str, forwarded: str) -> None:
    if not within(peer, PROXIES):
        assert client_address(peer, forwarded, PROXIES) == peer


@pytest.mark.parametrize(("peer", "kept"), [("10.1.2.3", True), ("192.0.2.7", False), (None, False)])
def test_what_only_a_proxy_may_say_is_taken_out_of_what_others_send(peer: str | None, kept: bool) -> None:
    claims = [(name, b"x") for name in sorted(CLAIMS)]
    scope = {"client": (peer, 1) if peer else None, "headers": [(b"host", b"a"), *claims], "path": "/admin/"}
    passed = believed(scope, PROXIES)
    assert passed["headers"] == [(b"host", b"a"), *(claims if kept else [])]
    assert passed["path"] == "/admin/"
    assert len(scope["headers"]) == 1 + len(claims)

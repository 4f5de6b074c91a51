"""Where a request comes from, when proxies stand between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Network = IPv4Network | IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError for a text that is neither an address nor a network."""
    return tuple(ip_network(text, strict=False) for text in texts)


def within(address: str | None, among: Iterable[Network]) -> bool:
    """Whether the address lies in one of the networks; an IPv4 address in IPv6 clothes counts as IPv4."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed.version == network.version and parsed in network for network in among)


# What proxies say of the client. Anybody can write it.
CLAIMS = frozenset(
    {
        *(b"forwarded", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-proto"),
        *(b"x-forwarded-host", b"x-forwarded-port"),
    }
)


def believed(scope: dict[str, Any], trusted: Sequence[Network]) -> dict[str, Any]:
    """The ASGI scope without what only a trusted proxy may say, where its peer is none."""
    client = scope.get("client")
    if within(client[0] if client else None, trusted):
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name not in CLAIMS]}


def client_address(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The address that X-Forwarded-For names, read from its right end and only as far as proxies are
    trusted: the first that is not a trusted proxy. Anybody can write what stands to the left of it."""
    address = peer
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    while hops and within(address, trusted):
        address = hops.pop()
    return address

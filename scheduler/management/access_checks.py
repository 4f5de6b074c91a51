"""The doctor's look at what nodes behind reverse proxies ask for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from scheduler.management.doctor import Finding
from scheduler.models import Node
from scheduler.models.access import ends_at

SOON = timedelta(days=14)


def of_access(node: Node) -> Iterator[Finding]:
    """Sealed with a lost secret, sent in the clear, or trusted no longer."""
    access, check = node.access, f"node {node.name}"
    if access.fault:
        yield Finding(
            check=check,
            level="fail",
            said="Its headers cannot be unsealed with BRIDGE_NODE_SECRET.",
            cure="Give the old secret as BRIDGE_OLD_NODE_SECRETS, or enter the headers again.",
        )
    if access.headers and node.url.startswith("http:"):
        yield Finding(
            check=check,
            level="warn",
            said=f"{', '.join(access.names)} go to it in the clear.",
            cure="Give its proxy a certificate, and the node an https address.",
        )
    end = ends_at(access.authority) if access.authority else None
    if end is not None and end <= timezone.now() + SOON:
        gone = end <= timezone.now()
        yield Finding(
            check=check,
            level="fail" if gone else "warn",
            said=f"The authority of its certificate {'ended' if gone else 'ends'} on {end:%Y-%m-%d}.",
            cure="Enter its successor: `nodes access --ca`, or the node's form in the admin.",
        )

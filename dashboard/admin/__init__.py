"""What operators see and change in the admin, one module for each kind of row."""

from __future__ import annotations

from dashboard.admin import (
    ahead,
    aliases,
    audit,
    catalog,
    decisions,
    gputypes,
    keys,
    nodes,
    people,
    pinning,
    prices,
    usage,
)

__all__ = [
    "ahead",
    "aliases",
    "audit",
    "catalog",
    "decisions",
    "gputypes",
    "keys",
    "nodes",
    "people",
    "pinning",
    "prices",
    "usage",
]

"""How often one address may present keys that fail before it is told to wait."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from math import ceil


@dataclass(slots=True)
class Throttle:
    """A bucket of failures per address. Only a failed attempt asks it: a right key is never held up by
    others behind the same address, and a 256-bit secret is not guessed at any rate; what it saves is the
    work, the log and the records that a broken or hostile client would fill."""

    burst: int = 20  # failures that are answered as they are
    per_minute: float = 20.0  # failures that come back each minute
    most: int = 10_000  # addresses remembered; the one silent longest goes first
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)  # left, at

    def failed(self, address: str | None, now: float) -> int | None:
        """Count a failure; the seconds to wait (1 to 60) when there were too many, else None."""
        who = network_of(address)
        left, at = self._buckets.get(who, (float(self.burst), now))
        left = min(self.burst, left + max(0.0, now - at) * self.per_minute / 60)
        wait = None if left >= 1 else max(1, min(60, ceil((1 - left) * 60 / self.per_minute)))
        self._buckets[who] = (left - 1 if wait is None else left, now)
        self._buckets.move_to_end(who)
        if len(self._buckets) > self.most:
            self._buckets.popitem(last=False)
        return wait


def network_of(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or the /64 that one IPv6 host commands."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return "unknown"
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))

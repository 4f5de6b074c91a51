"""Who is alive: the leases of bridges and of the leading scheduler, in memory."""

from __future__ import annotations

GRACE_S = 1.0  # second chance of a silent holder: a blocked loop is not a dead one
LEADERLESS_LEASES = 2  # cold requests wait for a new leader so many leases long


class Leases:
    """Holders, each alive until its lease is over and a second look a little later found it silent too."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._until: dict[str, float] = {}
        self._doubted: dict[str, float] = {}  # since when

    def open(self, holder: str, now: float) -> None:
        """A holder that never renewed is alive from its first ticket on."""
        if holder not in self._until:
            self._until[holder] = now + self._lease_s

    def renew(self, holder: str, now: float) -> bool:
        """Whether the holder was known."""
        known = holder in self._until
        self._until[holder] = now + self._lease_s
        self._doubted.pop(holder, None)
        return known

    def dead(self, now: float) -> list[str]:
        """Those who are silent for good; each is told once."""
        for holder, until in self._until.items():
            if until < now:
                self._doubted.setdefault(holder, now)
        gone = [holder for holder, since in self._doubted.items() if now - since >= GRACE_S]
        for holder in gone:
            del self._until[holder], self._doubted[holder]
        return gone


class Leadership:
    """One leader at a time, each with a larger number than the one before."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._holder: str | None = None
        self._renewed = float("-inf")
        self.epoch = 0

    def lead(self, holder: str, now: float) -> int | None:
        """The fencing number, or None while another's lease runs."""
        running = self._holder is not None and now < self._renewed + self._lease_s
        if running and self._holder != holder:
            return None
        if not running:
            self.epoch += 1
        self._holder, self._renewed = holder, now
        return self.epoch

    def resign(self, holder: str) -> None:
        """Free the lease if it is this holder's."""
        if self._holder == holder:
            self._holder = None

    def lately(self, now: float) -> bool:
        """Whether somebody leads, or did so recently enough that a successor is on its way."""
        return now < self._renewed + LEADERLESS_LEASES * self._lease_s

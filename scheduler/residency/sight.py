"""What is known of a node's health, and when to look again. Pure: time is an argument.

A node that refuses connections is down at once; one that is merely late gets a few more chances, and more
while it loads. A node that is down is looked at again after a short, growing pause (the half-open probe), and
one answer brings it back. Quarantine is another matter: the node answers, but its loads hang.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.residency.pace import Pace, doubled

MOST_HURRIES = 5


@dataclass(slots=True, kw_only=True)
class Sight:
    """One node as last seen."""

    node: str
    seen: bool = False  # looked at since we began
    up: bool = False
    version: str = ""
    version_at: float = float("-inf")
    misses: int = 0  # in a row
    probes: int = 0  # that failed since it is down
    look_at: float = float("-inf")  # while it is down: not before this
    error: str = ""
    quarantined: bool = False
    quarantined_until: float = 0.0  # then a probe is due
    hangs: int = 0  # loads that hung since one succeeded
    hurries: int = 0  # loads too soon after an unload, less those that were not
    learned_vram: int | None = None  # bytes, where nobody told: what it held when a model spilled
    gpu_seen: bool = False  # some model lay in VRAM

    def answered(self) -> bool:
        """Note an answer; True when the node has come back, or is seen for the first time."""
        back = not self.up
        self.seen = self.up = True
        self.misses = self.probes = 0
        self.error = ""
        return back

    def missed(self, error: str, *, hard: bool, loading: bool, now: float, pace: Pace) -> bool:
        """Note that no answer came; True when the node goes down by it."""
        self.error = error
        self.misses += 1
        allowed = pace.misses_loading if loading else pace.misses
        if self.up and not hard and self.misses < allowed:
            return False
        fell = self.up
        self.up, self.seen = False, True
        self.look_at = now + doubled(pace.probe_s, pace.probe_most_s, self.probes)
        self.probes += 1
        return fell

    def recovery_s(self, pace: Pace) -> float:
        """How long to wait between an unload and the next load, so that the node sees the room."""
        return doubled(pace.recovery_s, pace.recovery_most_s, self.hurries)

    def swapped(self, *, hurried: bool) -> None:
        """Learn from a load after an unload: whether the node did not see all of the room yet."""
        self.hurries = min(self.hurries + 1, MOST_HURRIES) if hurried else max(self.hurries - 1, 0)

    def hung(self, now: float, pace: Pace) -> float:
        """A load hung while the node answered: into quarantine; for how many seconds."""
        seconds = doubled(pace.quarantine_s, pace.quarantine_most_s, self.hangs)
        self.hangs += 1
        self.quarantined, self.quarantined_until = True, now + seconds
        return seconds

    def proved(self) -> bool:
        """A load succeeded, or the node was started anew; True when that ends a quarantine."""
        ended = self.quarantined
        self.quarantined, self.quarantined_until, self.hangs = False, 0.0, 0
        return ended

    def try_again(self) -> None:
        """Let the next real load be the probe; should it hang, the count goes on."""
        self.quarantined, self.quarantined_until = False, 0.0

    def blocks_loads_until(self, now: float) -> float:
        """What policy.Node.quarantined_until is: while the probe is due, nobody else tries."""
        return max(self.quarantined_until, now + 1.0) if self.quarantined else 0.0

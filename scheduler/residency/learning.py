"""What was learned from loads and requests: footprints, load and service seconds, room for a retry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from scheduler.board.interface import Arrival, Line, Load
from scheduler.policy.state import Footprint, Measured, Stats
from scheduler.residency.rows import Rows

NEWEST = 0.3  # weight of the newest load or request
HALF_LIFE_S = 300.0  # of what service times are measured over
FEWEST = 3.0  # ended requests that make a measurement


@dataclass(slots=True)
class Traffic:
    """Seat-seconds held and requests ended, both fading: their ratio is the service time (Little's law)."""

    at: float
    seat_s: float = 0.0
    ended: float = 0.0
    in_flight: int = 0
    waiting: int = 0


class Learning:
    """Kept in memory; what must outlive the process is read from and written to Measurement."""

    def __init__(self) -> None:
        self._footprints: dict[Footprint, Measured] = {}
        self._raised: dict[Footprint, tuple[int, float]] = {}  # bytes, until
        self._load_s: dict[tuple[str, str], float] = {}
        self._gbps: dict[str, float] = {}
        self._service_s: dict[str, float] = {}
        self._traffic: dict[str, Traffic] = {}

    def take_rows(self, rows: Rows) -> None:
        """Begin with what is on record; what this process learned itself is newer."""
        self._footprints = {**rows.footprints, **self._footprints}
        by_model = {
            (node, model.name): rows.load_s[node, digest]
            for model in rows.models.values()
            for node, digest in model.digests.items()
            if (node, digest) in rows.load_s
        }
        self._load_s = {**by_model, **self._load_s}
        self._traffic = {name: t for name, t in self._traffic.items() if name in rows.models}

    def loaded(
        self,
        node: str,
        model: str,
        footprint: Footprint,
        *,
        size_bytes: int,
        seconds: float,
        weights_bytes: int,
    ) -> float:
        """Note a load that succeeded; the node's speed in GB/s as it is now believed."""
        self._raised.pop(footprint, None)
        self._footprints[footprint] = _observed(self._footprints.get(footprint), size_bytes)
        self._load_s[node, model] = _moved(self._load_s.get((node, model)), seconds)
        self._gbps[node] = _moved(self._gbps.get(node), weights_bytes / 1e9 / max(seconds, 0.05))
        return self._gbps[node]

    def was_measured(self, node: str, model: str) -> bool:
        return (node, model) in self._load_s

    def raise_need(self, footprint: Footprint, bytes_: int, until: float) -> None:
        """An out-of-memory showed that more room is needed: plan with so many bytes until then."""
        self._raised[footprint] = (bytes_, until)

    def learn(self, model: str, *, service_s: float) -> None:
        """Take in how long one request held its seat."""
        self._service_s[model] = _moved(self._service_s.get(model), service_s)

    def watch(
        self, loads: Iterable[Load], lines: Iterable[Line], arrivals: Iterable[Arrival], now: float
    ) -> None:
        """Estimate service times from what the board shows, where no request says it itself."""
        came = Counter(arrival.model for arrival in arrivals)
        waiting = {line.model: line.waiting for line in lines}
        in_flight: Counter[str] = Counter()
        for load in loads:
            in_flight[load.model] += load.in_flight
        for model in {*came, *waiting, *in_flight}:
            self._watch(model, came[model], waiting.get(model, 0), in_flight[model], now)

    def _watch(self, model: str, came: int, waiting: int, in_flight: int, now: float) -> None:
        seen = self._traffic.setdefault(model, Traffic(at=now))
        fade = 0.5 ** ((now - seen.at) / HALF_LIFE_S)
        ended = max(came - (waiting - seen.waiting) - (in_flight - seen.in_flight), 0)
        # Those that ended since the last look held their seats about half of the time between.
        held = (seen.in_flight + in_flight) / 2 * (now - seen.at)
        seen.seat_s, seen.ended = seen.seat_s * fade + held, seen.ended * fade + ended
        seen.at, seen.waiting, seen.in_flight = now, waiting, in_flight

    def demanded(self) -> list[str]:
        """Models by how much they were asked for of late, the most first."""
        return sorted(self._traffic, key=lambda model: -self._traffic[model].ended)

    def service_s(self) -> dict[str, float]:
        seen = {m: t.seat_s / t.ended for m, t in self._traffic.items() if t.ended >= FEWEST and t.seat_s > 0}
        return {**seen, **self._service_s}

    def stats(self, failures: Mapping[tuple[str, str], float], now: float) -> Stats:
        self._raised = {print_: each for print_, each in self._raised.items() if each[1] > now}
        raised = {
            print_: _raised(self._footprints.get(print_), bytes_)
            for print_, (bytes_, _) in self._raised.items()
        }
        return Stats(
            footprints={**self._footprints, **raised} if raised else self._footprints,
            service_s=self.service_s(),
            load_s=self._load_s,
            failures=failures,
        )


def _moved(before: float | None, newest: float) -> float:
    return newest if before is None else before + NEWEST * (newest - before)


def _observed(before: Measured | None, size: int) -> Measured:
    if before is None:
        return Measured(bytes=size, error=0.0)
    largest = max(before.bytes, size)
    spread = abs(size - before.bytes) / max(largest, 1)
    return replace(before, bytes=largest, error=max(before.error * 0.9, spread), samples=before.samples + 1)


def _raised(before: Measured | None, bytes_: int) -> Measured:
    known = before or Measured(bytes=0, error=0.0)
    return replace(known, bytes=max(known.bytes, bytes_))

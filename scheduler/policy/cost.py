"""Cost: who had each GPU-second of a node, in whole microseconds that add up.

1. Requests and loads that run at the same moment share it equally; a node counts as one GPU.
2. While none runs, residents have it by the VRAM they hold, pinned or evictable; what nobody holds is
   idle_empty.
3. What nobody saw, or a node that did not answer, is unseen.

Each stretch between two changes is divided by largest remainders (Hamilton's method), and so is the bill:
the parts of a window are its length, and the prices of the parts are its bill, exactly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

Part = Literal["prefill", "decode", "load", "wasted", "idle_pinned", "idle_evictable", "idle_empty", "unseen"]
PARTS: tuple[Part, ...] = (
    "prefill",
    "decode",
    "load",
    "wasted",
    "idle_pinned",
    "idle_evictable",
    "idle_empty",
    "unseen",
)
BUSY: frozenset[Part] = frozenset({"prefill", "decode", "load", "wasted"})

US = 1_000_000  # microseconds in a second
HOUR_US = 3600 * US
MICROS = 1_000_000  # millionths of the unit of money, in which bills are counted
NANOJOULES_PER_KWH = 3_600_000 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who a share of a GPU-second is charged to."""

    part: Part
    model: str = ""
    key: str = ""  # public id; empty where no key caused it
    team: str = ""
    pin: str = ""  # name of the pinning policy, of idle_pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Something that runs on the node: a phase of a request, or a load. Microseconds since 1970."""

    start: int
    end: int
    owner: Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A resident's VRAM for a time. Microseconds since 1970."""

    start: int
    end: int
    model: str
    bytes: int
    pin: str = ""  # policy that keeps it; empty: it may be evicted
    team: str = ""  # who pays for the pin

    @property
    def owner(self) -> Owner:
        part: Part = "idle_pinned" if self.pin else "idle_evictable"
        return Owner(part=part, model=self.model, team=self.team if self.pin else "", pin=self.pin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A request as the usage record tells of it; times in microseconds."""

    at: int  # arrival
    queue: int
    prefill: int
    decode: int
    total: int
    good: bool  # answered
    model: str
    key: str = ""
    team: str = ""


def phases(served: Served) -> list[Activity]:
    """When a request was at work on its node.

    1. Decoding ends with the request, prefill ends where decoding begins, and neither begins before its seat.
    2. Where the node timed nothing (embeddings, broken off), all of it since the seat counts as prefill.
    3. What was not answered is wasted.
    """
    end = served.at + served.total
    seat = min(served.at + served.queue, end)
    decode = max(end - served.decode, seat)
    prefill = max(decode - served.prefill, seat) if served.prefill or served.decode else seat
    stretches: tuple[tuple[int, int, Part], ...] = ((prefill, decode, "prefill"), (decode, end, "decode"))
    if not served.good:
        stretches = ((seat, end, "wasted"),)
    return [
        Activity(
            start=start,
            end=stop,
            owner=Owner(part=part, model=served.model, key=served.key, team=served.team),
        )
        for start, stop, part in stretches
        if start < stop
    ]


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Whole shares of `total` (0 or more) by weight, which add up to it: largest remainders, ties to the
    first. Raises ValueError where something is to be shared and every weight is 0."""
    whole = sum(weights)
    if whole <= 0:
        if total:
            raise ValueError("Nothing weighs anything, so nobody can be given a share.")
        return [0] * len(weights)
    shares = [total * weight // whole for weight in weights]
    left = total - sum(shares)
    if left:
        by_remainder = sorted(range(len(weights)), key=lambda n: (-(total * weights[n] % whole), n))
        for n in by_remainder[:left]:
            shares[n] += 1
    return shares


def split(
    start: int, end: int, *, residents: Sequence[Held], activities: Iterable[Activity], total_bytes: int = 0
) -> dict[Owner, int]:
    """Microseconds of [start, end) by who had them; they add up to end - start.

    `total_bytes`: VRAM of the node; 0 where nobody knows, then residents have all of an idle moment.
    """
    shares: dict[Owner, int] = defaultdict(int)
    running: Counter[Owner] = Counter()
    there: list[Held] = []
    at = start
    for moment, kind, item in _changes(start, end, residents, activities):
        if moment > at:
            _share(shares, moment - at, running, there, total_bytes)
            at = moment
        if isinstance(item, Held):
            there.append(item) if kind else there.remove(item)
        elif kind:
            running[item.owner] += 1
        elif running[item.owner] == 1:
            del running[item.owner]
        else:
            running[item.owner] -= 1
    if end > at:
        _share(shares, end - at, running, there, total_bytes)
    return dict(shares)


def _changes(
    start: int, end: int, residents: Iterable[Held], activities: Iterable[Activity]
) -> list[tuple[int, bool, Held | Activity]]:
    """What begins (True) and ends (False) within the window, in order of time."""
    changes: list[tuple[int, bool, Held | Activity]] = []
    items: list[Held | Activity] = [*residents, *activities]
    for item in items:
        began, ended = max(item.start, start), min(item.end, end)
        if began < ended:
            changes += [(began, True, item), (ended, False, item)]
    changes.sort(key=lambda change: change[0])
    return changes


def _share(
    shares: dict[Owner, int], us: int, running: Counter[Owner], there: Sequence[Held], total_bytes: int
) -> None:
    """One stretch in which nothing changes (1, 2)."""
    if running:
        for owner, share in zip(running, apportion(us, list(running.values())), strict=True):
            shares[owner] += share
        return
    held = sum(each.bytes for each in there)
    free = max(total_bytes - held, 0)
    if not held and not free:
        shares[EMPTY] += us
        return
    weights = [*(each.bytes for each in there), free]
    for owner, share in zip([*(each.owner for each in there), EMPTY], apportion(us, weights), strict=True):
        if share:
            shares[owner] += share


EMPTY = Owner(part="idle_empty")
UNSEEN = Owner(part="unseen")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a node costs, in units of money."""

    per_hour: Decimal = Decimal(0)
    per_kwh: Decimal = Decimal(0)


@dataclass(slots=True)
class Meter:
    """One node's shares over a time, and what they cost. Add windows, then read `costs`."""

    shares: dict[Owner, int] = field(default_factory=lambda: defaultdict(int))  # microseconds
    energy: dict[Owner, int] = field(default_factory=lambda: defaultdict(int))  # nanojoules
    _rent: Decimal = Decimal(0)  # millionths of money, not rounded
    _power: Decimal = Decimal(0)

    def add(
        self, shares: Mapping[Owner, int], price: Price, *, watts: float | None, assumed: int = 0
    ) -> None:
        """A window. `watts`: as measured, for all of it; None: `assumed` watts while something runs."""
        energy = 0
        for owner, us in shares.items():
            self.shares[owner] += us
            power = watts if watts is not None else assumed if owner.part in BUSY else 0
            used = round(power * 1000) * us  # milliwatts times microseconds
            self.energy[owner] += used
            energy += used
        self._rent += price.per_hour * MICROS * sum(shares.values()) / HOUR_US
        self._power += price.per_kwh * MICROS * energy / NANOJOULES_PER_KWH

    @property
    def bill(self) -> int:
        """Millionths of money, rent and energy each rounded once."""
        return rounded(self._rent) + rounded(self._power)

    def costs(self) -> dict[Owner, int]:
        """Millionths of money by owner; they add up to the bill."""
        owners = list(self.shares)
        if not owners:
            return {}
        rent = apportion(rounded(self._rent), [self.shares[owner] for owner in owners])
        energy = [self.energy[owner] for owner in owners]
        power = apportion(rounded(self._power), energy)
        return {owner: a + b for owner, a, b in zip(owners, rent, power, strict=True)}


def rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def cents(micros: Sequence[int]) -> list[int]:
    """Amounts in millionths as whole cents that add up to the cents of their sum."""
    total = rounded(Decimal(sum(micros)) / (MICROS // 100))
    return apportion(total, micros) if sum(micros) else [0] * len(micros)

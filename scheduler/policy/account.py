"""The account of prefetches: how each ended, what it saved or cost, and what follows from that.

A prefetch ends when somebody asks for its model, or when it is evicted:
1. hit: it was loaded; the whole load was hidden. Late: it was loading; a part was hidden.
2. wasted: evicted (or, in shadow mode, forgotten), and nobody had come. It loses its small cost.
3. harmful: meanwhile a model that went for it was asked for, and that load cost more than was saved.

What follows:
4. Caution multiplies the margin and the least chance. Each load on demand and each good ending lowers it a
   step, each prefetch for nothing raises it by so many steps that it rests where `waste_bound` of all loads
   are for nothing. It begins high: trust is earned.
5. A model whose last prefetches lost more than they saved is switched off for a while, twice as long each
   time; then it is on probation: one prefetch decides.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from scheduler.policy.config import Config

Kind = Literal["hit", "late", "harmful", "wasted"]

HARM_S = 120.0  # a victim asked for within this would have been there
SHADOW_S = 600.0  # so long a prefetch that was only thought of counts as there
WINDOW = 30  # prefetches of one model by which it is judged
FEWEST = 8  # of them, before it is switched off
OFF_S = 900.0
MOST_OFF_S = 86_400.0
FIRST_CAUTION = 4.0
MOST_CAUTION = 16.0
STEP = 1.03  # by which a load that somebody came for lowers caution
MOST_ENTRIES = 1000


@dataclass(slots=True)
class Entry:
    """A prefetch that has not ended yet."""

    node: str
    model: str
    at: float
    ready: float
    load_s: float
    victims: dict[str, float]  # model: seconds that its load takes
    shadow: bool = False
    harm_s: float = 0.0  # loads of victims that were asked for meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a prefetch ended, for the ledger."""

    node: str
    model: str
    kind: Kind
    at: float
    seconds: float  # saved, or lost where negative
    shadow: bool


@dataclass(slots=True)
class Balance:
    """One model's latest prefetches."""

    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    off_until: float = 0.0
    off_s: float = OFF_S
    probation: bool = False


class Account:
    """Kept by whoever carries prefetches out. Bounded; deterministic."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.caution = FIRST_CAUTION
        self._open: OrderedDict[tuple[str, str], Entry] = OrderedDict()  # by (node, model)
        self._by_model: dict[str, list[Entry]] = {}
        self._balances: OrderedDict[str, Balance] = OrderedDict()

    # -- what happens

    def started(
        self,
        node: str,
        model: str,
        now: float,
        load_s: float,
        victims: dict[str, float],
        *,
        shadow: bool = False,
    ) -> list[Ending]:
        """A prefetch began (or, in shadow mode, would have; what is thought of twice counts once)."""
        if (node, model) in self._open:
            return []
        self._open[node, model] = entry = Entry(node, model, now, now + load_s, load_s, victims, shadow)
        for name in (model, *victims):
            self._by_model.setdefault(name, []).append(entry)
        if len(self._open) > MOST_ENTRIES:
            oldest = next(iter(self._open.values()))
            return [self._end(oldest, "wasted", now, self._cost_s(oldest))]
        return []

    def loaded(self, node: str, model: str, now: float, load_s: float) -> None:
        """A prefetch's load ended: from now on what it took counts, and not what was predicted."""
        if entry := self._open.get((node, model)):
            entry.ready, entry.load_s = now, load_s

    def remember(self, endings: Iterable[Ending]) -> None:
        """Take over how earlier prefetches ended, the oldest first: after a restart."""
        for ending in endings:
            self._trust(wasted=ending.kind == "wasted")
            self._judge(ending.model, ending.seconds, ending.at)

    def demanded(self) -> None:
        """Somebody asks for an absent model: a load on demand (4)."""
        self._trust(wasted=False)

    def arrived(self, model: str, now: float) -> list[Ending]:
        """Somebody asks for a model: its prefetches end (1), those that sent it away are charged (3)."""
        endings = []
        for entry in list(self._by_model.get(model, ())):
            if entry.model == model:
                saved = entry.load_s if now >= entry.ready else now - entry.at
                endings.append(self._end(entry, "hit" if now >= entry.ready else "late", now, saved))
            elif now - entry.at <= HARM_S:
                entry.harm_s += entry.victims.pop(model)
                self._unlink(model, entry)
        return endings

    def evicted(self, node: str, model: str, now: float) -> list[Ending]:
        entry = self._open.get((node, model))
        return [] if entry is None else [self._end(entry, "wasted", now, self._cost_s(entry))]

    def called_off(self, node: str, model: str) -> None:
        """A load that did not come to pass ends without a judgement."""
        if entry := self._open.get((node, model)):
            self._close(entry)

    def forget(self, now: float) -> list[Ending]:
        """End shadow prefetches that nobody came for."""
        late = [e for e in self._open.values() if e.shadow and now - e.ready > SHADOW_S]
        return [self._end(entry, "wasted", now, self._cost_s(entry)) for entry in late]

    def open_entries(self) -> list[Entry]:
        """Prefetches that have not ended, the oldest first."""
        return list(self._open.values())

    # -- what follows

    @property
    def margin(self) -> float:
        return self.config.prefetch_margin * self.caution

    @property
    def least_chance(self) -> float:
        return min(self.config.prefetch_chance * self.caution, 0.9)

    def allows(self, model: str, now: float) -> bool:
        """Whether a model may be prefetched: not switched off by its own losses (5)."""
        balance = self._balances.get(model)
        return balance is None or now >= balance.off_until

    def _end(self, entry: Entry, kind: Kind, now: float, seconds: float) -> Ending:
        self._close(entry)
        self._trust(wasted=kind == "wasted")
        seconds -= entry.harm_s
        if entry.harm_s and seconds < 0:
            kind = "harmful"
        self._judge(entry.model, seconds, now)
        return Ending(
            node=entry.node, model=entry.model, kind=kind, at=now, seconds=seconds, shadow=entry.shadow
        )

    def _close(self, entry: Entry) -> None:
        del self._open[entry.node, entry.model]
        for name in (entry.model, *entry.victims):
            self._unlink(name, entry)

    def _unlink(self, name: str, entry: Entry) -> None:
        entries = self._by_model[name]
        entries.remove(entry)
        if not entries:
            del self._by_model[name]

    def _cost_s(self, entry: Entry) -> float:
        return -self.config.prefetch_cost * entry.load_s

    def _trust(self, *, wasted: bool) -> None:
        """(4)"""
        bound = self.config.waste_bound
        factor = STEP ** ((1 - bound) / bound) if wasted else 1 / STEP
        self.caution = min(max(self.caution * factor, 1.0), MOST_CAUTION)

    def _judge(self, model: str, seconds: float, now: float) -> None:
        """(5)"""
        balance = self._balances.setdefault(model, Balance())
        self._balances.move_to_end(model)
        if len(self._balances) > MOST_ENTRIES:
            self._balances.popitem(last=False)
        balance.seconds.append(seconds)
        lost = sum(balance.seconds) < 0 and len(balance.seconds) >= FEWEST
        if (balance.probation and seconds < 0) or (not balance.probation and lost):
            balance.off_until = now + balance.off_s
            balance.off_s = min(balance.off_s * 2, MOST_OFF_S)
            balance.probation = True
            balance.seconds.clear()
        elif balance.probation and seconds > 0:
            balance.probation, balance.off_s = False, OFF_S

"""Prefetching, live: the leader's foresight, what it is told, and what the ledger gets to read of it.

1. Every arrival on the board is told to the foresight, a few times a second, off the way of any request.
2. A prefetch is booked when it begins. Its ending is known when somebody comes, or when the resident is gone;
   one that is known before the load ended is written down after it.
3. In shadow mode an ending is an entry of its own: nothing was loaded.
4. Who begins to lead takes over what is on record; prefetches that the leader before left open are settled.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from scheduler.board.interface import Arrival
from scheduler.policy.account import Ending
from scheduler.policy.config import Config
from scheduler.policy.decisions import Load
from scheduler.policy.foresight import Foresight
from scheduler.policy.hints import Hint, Workflow
from scheduler.policy.markov import WindowMarkov
from scheduler.policy.prediction import Predictor as Learner
from scheduler.policy.preemption import CallOff
from scheduler.policy.prefetch import Predictor
from scheduler.policy.state import Forecast, Resident
from scheduler.policy.view import View
from scheduler.residency import outcomes, past
from scheduler.residency.fleet import Fleet
from scheduler.residency.past import Past, Unsettled

log = logging.getLogger(__name__)

MOST_CAME = 10_000  # arrivals kept until they are asked for
AGAIN_S = 60.0  # chances move with time alone
LEARNED = 50  # requests after which what was learned says more than recency, or than a guess
SOON_S = 60.0  # a hint is taken to come true within this, until gaps were learned

Where = tuple[str, str]  # node, model


class Ahead:
    """Owned by the event loop of the leader."""

    def __init__(self, fleet: Fleet, config: Config, *, wake: Callable[[], None]) -> None:
        self._fleet = fleet
        self._wake = wake
        self.make: Callable[[], Predictor] = WindowMarkov if config.prefetch == "confidence" else Learner
        self.foresight = Foresight(self.make(), config)
        self.foresight.keeps_account = self.foresight.on
        self._workflows: tuple[Workflow, ...] = ()
        self._came: deque[Arrival] = deque(maxlen=MOST_CAME)  # since the last round
        self._since: deque[Arrival] | None = None  # since the lead was gained, until the past is known
        self._loading: dict[Where, Load] = {}  # under way
        self._came_early: dict[Where, Ending] = {}  # of those, where somebody came already
        self._there: set[Where] = set()  # residents at the last look
        self._unused: dict[Where, float] = {}  # prefetched, and nobody came yet; when it was loaded
        self._ask_at = 0.0

    # ---- what happens

    def take(self, arrivals: Iterable[Arrival]) -> None:
        """Requests came (1)."""
        self._sweep()
        absent = self._absent()
        for each in arrivals:
            self._came.append(each)
            if self._since is not None:
                self._since.append(each)
            said = hints(each, self.foresight.predictor)
            self.foresight.arrived(each.at, each.key, each.model, said, each.session, absent=absent)
        self._write_down()
        if self.foresight.due:
            self._wake()

    def came(self) -> Sequence[Arrival]:
        """Arrivals since the last call."""
        came = list(self._came)
        self._came.clear()
        return came

    def propose(self, view: View) -> list[Load]:
        """What to prefetch now. `view` is the one that the round has decided on."""
        self._sweep()
        if view.now >= self._ask_at:
            self._ask_at = view.now + AGAIN_S
            self.foresight.passed(view.now)
        self.foresight.freed()
        loads = self.foresight.propose(view) if self.foresight.due else []
        self._write_down()
        return loads

    def began(self, load: Load) -> None:
        """A proposed load is carried out."""
        self._loading[load.node, load.model] = load

    def under_way(self, node: str, model: str) -> Load | None:
        """The prefetch that runs there now."""
        return self._loading.get((node, model))

    def declined(self, load: Load) -> None:
        """A proposed load could not be begun."""
        self.foresight.called_off(load.node, load.model)

    def ended(self, load: Load) -> None:
        """The action of a prefetch is over, whatever came of it (2)."""
        where = load.node, load.model
        if self._loading.pop(where, None) is None:
            return
        came = self._came_early.pop(where, None)
        resident = self._fleet.book.get(*where)
        if resident is None or resident.cause != "prefetch":
            self.foresight.called_off(*where)
        elif came is not None:
            self._settle(came)
        else:
            self.foresight.account.loaded(*where, resident.loaded_at, resident.load_s or load.expected_s)
            self._unused[where] = resident.loaded_at

    def called_off(self, load: Load, call: CallOff, began: float) -> None:
        """Demand took its place."""
        self._write_down()
        where, now = (load.node, load.model), self._fleet.clock()
        self._loading.pop(where, None)
        came = self._came_early.pop(where, None)
        self.foresight.evicted(*where, now)
        for ending in self._taken() or ([came] if came else []):
            self._fleet.recorder.put(outcomes.preempted(load, call, ending, now - began))

    # ---- what is known

    @property
    def forecast(self) -> Forecast | None:
        """For evictions; None while recency says more."""
        predictor = self.foresight.predictor
        return predictor if isinstance(predictor, Learner) and predictor.seen >= LEARNED else None

    def register(self, workflows: tuple[Workflow, ...]) -> None:
        if workflows != self._workflows:
            self._workflows = workflows
            past.register(self.foresight.predictor, workflows)

    def gained(self) -> None:
        """This scheduler leads from now on; the past is being read."""
        self._since = deque(maxlen=MOST_CAME)

    def lost(self) -> None:
        """Another one leads, and accounts for what is loaded."""
        self._since = None
        for where in (*self._loading, *self._unused):
            self.foresight.called_off(*where)
        self._loading.clear()
        self._came_early.clear()
        self._unused.clear()
        self._came.clear()

    def remember(self, known: Past) -> None:
        """Take over the past (4), and what came since the lead was gained."""
        past.register(known.predictor, self._workflows)
        for each in self._since or ():
            said = hints(each, known.predictor)
            known.predictor.observe(each.at, each.key, each.model, said, each.session)
        self._since = None
        self.foresight.predictor = known.predictor
        if self.foresight.on:
            self.foresight.account.remember(known.endings)
            for left in known.unsettled:
                self._take_over(left)
        self._ask_at = 0.0  # the first who came may be known by now
        self._wake()
        log.info("%d requests on record were read for prediction.", known.requests)

    # ---- inside

    def _take_over(self, left: Unsettled) -> None:
        where = left.node, left.model
        resident = self._fleet.book.get(*where)
        if where in self._loading or where in self._unused:
            return
        account, began = self.foresight.account, left.loaded_at - left.load_s
        self.foresight.endings += account.started(*where, began, left.load_s, {})
        if resident is None or resident.cause != "prefetch":
            self.foresight.evicted(*where, self._fleet.clock())
        elif resident.used:
            self.foresight.endings += account.arrived(left.model, self._fleet.clock())
        else:
            self._unused[where] = resident.loaded_at
        self._write_down()

    def _absent(self) -> Callable[[str], bool]:
        fleet = self._fleet
        there = {r.model for r in fleet.book.residents.values()} | {a.model for a in fleet.busy.values()}
        return lambda name: name in fleet.rows.models and name not in there

    def _sweep(self) -> None:
        """Residents that are gone, and prefetched ones that somebody loaded anew."""
        residents = self._fleet.book.residents
        gone = self._there - residents.keys()
        gone |= {w for w, at in self._unused.items() if w not in residents or not _same(residents[w], at)}
        for where in gone - self._loading.keys():  # what is loading again has not gone for nothing
            self.foresight.evicted(*where, self._fleet.clock())
        self._there = set(residents)
        self._write_down()

    def _taken(self) -> list[Ending]:
        endings = list(self.foresight.endings)
        self.foresight.endings.clear()
        return endings

    def _write_down(self) -> None:
        for ending in self._taken():
            where = ending.node, ending.model
            if ending.shadow:
                self._fleet.recorder.put(outcomes.shadowed(ending))
            elif where in self._loading:
                self._came_early[where] = ending
            else:
                self._settle(ending)

    def _settle(self, ending: Ending) -> None:
        self._unused.pop((ending.node, ending.model), None)
        self._fleet.recorder.put(outcomes.settled(ending))


def _same(resident: Resident, loaded_at: float) -> bool:
    return resident.cause == "prefetch" and resident.loaded_at == loaded_at


def hints(arrival: Arrival, predictor: Predictor) -> list[Hint]:
    """What the app says. When it comes, its gaps say; while hardly any are known, soon."""
    learned = isinstance(predictor, Learner) and predictor.seen >= LEARNED
    within_s = None if learned else SOON_S
    return [Hint(model=name, within_s=within_s) for name in arrival.next_models]

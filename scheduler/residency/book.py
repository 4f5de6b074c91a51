"""The book of residents: what lives on which node, with what nobody can ask a node for.

`/api/ps` is the truth about what is loaded; slots, cause and when it came are ours. A resident that we did
not load (a client that talks to the node directly did, or a scheduler before us) is adopted with the context
that the node reports; one that the node no longer lists is gone, whoever took it away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from scheduler.board.interface import Load as BoardLoad
from scheduler.board.interface import Resident as Published
from scheduler.nodes.replies import RunningModel
from scheduler.policy.state import Profile, Resident

Adopt = Callable[[RunningModel], Profile]  # the profile of a resident that we did not load
MOVES = 256  # loads and unloads remembered, to bring an older reading of free VRAM up to date
SEAT_S = 1.0  # the board counts a resident's own publication as use; what comes later is a request


@dataclass(slots=True)
class Changes:
    """What a look at a node brought to light."""

    found: list[Resident] = field(default_factory=list)
    vanished: list[Resident] = field(default_factory=list)
    altered: list[Resident] = field(default_factory=list)  # someone reloaded it with another context

    def __bool__(self) -> bool:
        return bool(self.found or self.vanished or self.altered)


class Book:
    """Owned by the event loop; policy.State reads `residents` as it is."""

    def __init__(self) -> None:
        self.residents: dict[tuple[str, str], Resident] = {}
        self.leaving: set[tuple[str, str]] = (
            set()
        )  # being unloaded by us: their action says when they are gone
        self.late: dict[tuple[str, str], str] = {}  # unloads of ours that timed out and may yet happen: cause
        self._inherited: dict[tuple[str, str], Published] = {}
        self._moved: deque[tuple[float, str, int]] = deque(maxlen=MOVES)  # at, node, bytes that came free
        self._gone: dict[tuple[str, str], float] = {}  # when we saw an unload confirmed

    def on(self, node: str) -> list[Resident]:
        return [r for r in self.residents.values() if r.node == node]

    def get(self, node: str, model: str) -> Resident | None:
        return self.residents.get((node, model))

    def loaded(self, resident: Resident) -> None:
        """A load of ours was confirmed."""
        self._gone.pop((resident.node, resident.model), None)
        self.late.pop((resident.node, resident.model), None)
        self._moved.append((resident.loaded_at, resident.node, -resident.bytes))
        self.residents[resident.node, resident.model] = resident

    def unloaded(self, node: str, model: str, now: float) -> Resident | None:
        """An unload was confirmed: looks that began before must not bring it back."""
        self._gone = {key: at for key, at in self._gone.items() if now - at < 60.0}
        self._gone[node, model] = now
        gone = self.residents.pop((node, model), None)
        self.late.pop((node, model), None)
        if gone is not None:
            self._moved.append((now, node, gone.bytes))
        return gone

    def moved_since(self, node: str, at: float) -> int:
        """Bytes that came free on the node since, less what loads took."""
        return sum(freed for when, where, freed in self._moved if where == node and when >= at)

    def drop_node(self, node: str) -> list[Resident]:
        """The node does not answer: what it held is not reachable."""
        gone = self.on(node)
        for resident in gone:
            del self.residents[node, resident.model]
            self.late.pop((node, resident.model), None)
        return gone

    def reconcile(
        self,
        node: str,
        running: Sequence[RunningModel],
        *,
        asked_at: float,
        now: float,
        adopt: Adopt,
        loading: str | None = None,
    ) -> Changes:
        """Bring the book in line with an answer of /api/ps that was asked for at `asked_at`.

        What we are `loading` there is not found but expected: its action confirms it.
        """
        changes = Changes()
        backed: set[str] = set()
        for line in running:
            if self._gone.get((node, line.name), -1.0) >= asked_at:
                continue
            known = self._backed_by(node, line, backed)
            if known is None and line.name == loading:
                continue
            if known is None:
                known = self._adopted(node, line, now, adopt)
                changes.found.append(known)
            elif self._altered(known, line, asked_at, adopt):
                changes.altered.append(known)
            _measure(known, line)
            backed.add(known.model)
        for resident in self.on(node):
            expected = (node, resident.model) in self.leaving
            if resident.model not in backed and resident.loaded_at < asked_at and not expected:
                del self.residents[node, resident.model]
                changes.vanished.append(resident)
        return changes

    def _backed_by(self, node: str, line: RunningModel, backed: Iterable[str]) -> Resident | None:
        """The resident that a line of /api/ps means: by name, else by digest, since Ollama shows of several
        names of one file only the one that loaded it."""
        known = self.get(node, line.name)
        if known is not None:
            return known
        same = (r for r in self.on(node) if r.digest == line.digest and r.model not in backed)
        return next(same, None)

    def _adopted(self, node: str, line: RunningModel, now: float, adopt: Adopt) -> Resident:
        resident = Resident(
            node=node,
            model=line.name,
            digest=line.digest,
            profile=adopt(line),
            bytes=held_bytes(line),
            last_used=now,
            loaded_at=now,
        )
        self._remember(resident)
        self.residents[node, line.name] = resident
        return resident

    def _altered(self, known: Resident, line: RunningModel, asked_at: float, adopt: Adopt) -> bool:
        """Whether someone else loaded it anew, with another context or another digest."""
        if known.loaded_at >= asked_at:
            return False
        other_ctx = line.num_ctx is not None and line.num_ctx != known.profile.num_ctx
        if not other_ctx and line.digest == known.digest:
            return False
        known.profile, known.digest, known.cause = adopt(line), line.digest, "found"
        return True

    def note_loads(self, loads: Iterable[BoardLoad]) -> None:
        """Take over from the board what runs where."""
        seen = {(load.node, load.model): load for load in loads}
        for key, resident in self.residents.items():
            load = seen.get(key)
            resident.in_flight = load.in_flight if load else 0
            if load:
                resident.last_used = max(resident.last_used, load.last_used)
            if resident.in_flight or resident.last_used - resident.loaded_at > SEAT_S:
                resident.used = True

    def inherit(self, published: Iterable[Published]) -> None:
        """Take over what the scheduler that led before knew of the residents it published."""
        self._inherited = {(each.node, each.model): each for each in published}
        for resident in self.residents.values():
            self._remember(resident)

    def _remember(self, resident: Resident) -> None:
        known = self._inherited.get((resident.node, resident.model))
        if known is not None and known.num_ctx == resident.profile.num_ctx and resident.cause == "found":
            resident.cause = known.cause
            resident.used = known.cause != "prefetch"  # if it was used, its entry in the ledger is closed
            resident.profile = replace(resident.profile, slots=known.slots)


def held_bytes(line: RunningModel) -> int:
    """What a resident takes of the node's budget: VRAM, or host memory on a node without a GPU."""
    return line.size_vram or line.size_bytes


def _measure(resident: Resident, line: RunningModel) -> None:
    resident.bytes, resident.measured = held_bytes(line), True
    resident.spilled_bytes = line.spilled_bytes if line.size_vram else 0

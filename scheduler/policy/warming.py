"""Warming: which prefixes are replayed on which residents, and what a request gained by it.

1. While a cold line waits, nothing is warmed: real demand has the nodes.
2. A resident is warmed that accepts, in whose line nobody waits, and on whose node nothing is done or begun.
3. Never on the last free slot: with the replay's slot taken, one is still free.
4. Each prefix once for each stay of a resident. Replaying it again would cut a conversation short that goes
   on from it, in the slot that Ollama chooses for its longest common beginning.
5. No more prefixes than slots but one, the most used first: more would push each other out.
6. One at a time on a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from scheduler.policy.prefetch import cold_demand
from scheduler.policy.state import Resident
from scheduler.policy.view import View

HIT = 0.5  # of the prefix must have been found for a request to count as served by it
NEARLY = 0.9  # of the prefix that was cached already: there was nothing to warm
FEW = 5  # requests after which a warm that helped none is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """Replay a prefix on an idle slot of a resident."""

    node: str
    model: str
    prefix: int  # its row
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A prefix that a resident holds now, and what reading it took."""

    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a request read of its prompt."""

    prompt_tokens: int
    cached_tokens: int  # 0 also where the node does not say
    seconds: float


Done = Mapping[tuple[str, str], tuple[float, Set[int]]]  # by (node, model): when it was loaded, prefixes


def warms(view: View, prefixes: Mapping[str, Sequence[int]], done: Done, warming: Set[str]) -> list[Warm]:
    """What to replay now. `prefixes` by model, the most used first; `warming`: nodes that replay one."""
    if cold_demand(view):  # 1
        return []
    found: dict[str, Warm] = {}
    for resident in view.state.residents.values():
        given = prefixes.get(resident.model, ())
        if not given or resident.node in found or resident.node in warming or not _may(view, resident):
            continue
        loaded_at, replayed = done.get((resident.node, resident.model), (0.0, frozenset()))
        known = replayed if loaded_at == resident.loaded_at else frozenset()
        left = [p for p in given[: resident.profile.slots - 1] if p not in known]  # 4, 5
        if left:
            free = resident.profile.slots - resident.in_flight
            found[resident.node] = Warm(  # 6
                node=resident.node,
                model=resident.model,
                prefix=left[0],
                reason=f"{free} of {resident.profile.slots} slots are idle.",
            )
    return list(found.values())


def _may(view: View, resident: Resident) -> bool:
    node = view.state.nodes.get(resident.node)
    return (
        node is not None
        and view.can_act(node)
        and not node.draining
        and resident.accepting
        and resident.model not in view.state.lines  # 2
        and has_idle(resident.profile.slots, resident.in_flight)
    )


def has_idle(slots: int, in_flight: int) -> bool:
    """Whether a replay leaves a slot free (3)."""
    return in_flight <= slots - 2


def gained(replayed: Replayed, reads: Iterable[Read]) -> float | None:
    """Seconds that the first request saved that found the prefix; None while none did.

    Where the node says how many tokens it had cached, these count at the replay's pace; where it does not,
    the seconds that the prompt would have taken at this pace, less those that it took.
    """
    pace = replayed.seconds / max(replayed.tokens, 1)
    for read in reads:
        if read.cached_tokens >= HIT * replayed.tokens:
            return min(read.cached_tokens, replayed.tokens) * pace
        saved = read.prompt_tokens * pace - read.seconds
        if not read.cached_tokens and saved >= HIT * replayed.seconds > 0:
            return min(saved, replayed.seconds)
    return None

"""Decisions as values: what the scheduler shall do, and why, in a sentence with the numbers.

The worker carries them out; the replay and the tests carry them out in simulated time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scheduler.policy.state import Profile

Cause = Literal[
    "demand",  # requests wait for it
    "replica",  # it is resident, but its line is longer than a load
    "reload",  # planned: its profile must change
    "prefetch",  # somebody will ask for it soon
    "pin",  # a pinning policy wants it here
    "operator",  # a person asked
    "retire",  # a replica, or an idle model, that is not worth its room
    "stale",  # the node's digest changed, or the node is being emptied
]

RefuseReason = Literal["no_node", "no_room", "load_failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Unload `evict` in order, each drained and confirmed, then load: one action of the node."""

    node: str
    model: str
    profile: Profile
    bytes: int  # predicted need, margin included
    evict: tuple[str, ...] = ()  # models on this node; contains `model` itself for a planned reload
    expected_s: float  # predicted seconds of the load
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict:
    """Unload an idle resident and put nothing in its place."""

    node: str
    model: str
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Stop giving seats of a busy resident. It is no action of the node: loads elsewhere on it may go on."""

    node: str
    model: str
    wanted_by: str | None  # the model whose line waits for the room; None: an operator or a reload
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Give seats of a draining resident again: what wanted its room is gone."""

    node: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be done for this line now. `until` is when to ask again at the latest, Unix seconds."""

    model: str
    until: float | None
    eta_s: float | None  # predicted wait of a request that joins now; None rather than a guess
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Turn away those of a line that no wait will help."""

    model: str
    num_ctx_over: int  # those who asked for more context than this, in tokens; 0: all
    reason: RefuseReason
    detail: str  # a sentence for the client, with the numbers


Decision = Load | Evict | Drain | Resume | Wait | Refuse

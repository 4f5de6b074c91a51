"""The records of actions: what the ledger, the measurements and the node rows get to read. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.nodes.client import Warmed
from scheduler.nodes.replies import RunningModel
from scheduler.policy import packing
from scheduler.policy.account import Ending
from scheduler.policy.config import GB
from scheduler.policy.decisions import Drain, Load
from scheduler.policy.preemption import CallOff
from scheduler.policy.state import Node, Resident
from scheduler.policy.warming import Warm
from scheduler.residency.assemble import UNKNOWN_VRAM
from scheduler.residency.records import Entry, Footing, LoadSpeed, NodeBecame, Record, Settled

KINDS = {"reload": "reload", "prefetch": "prefetch"}  # by cause; any other load is a load


def loaded(decision: Load, resident: Resident, line: RunningModel, key: str) -> Iterator[Record]:
    """A load that the node confirmed."""
    yield Entry(
        kind=KINDS.get(decision.cause, "load"),
        node=resident.node,
        model=resident.model,
        cause=decision.cause,
        key=key,
        seconds=resident.load_s,
        bytes=line.size_bytes,
        outcome=_outcome(decision, resident),
        reason=f"{decision.reason} It took {line.size_bytes / GB:.1f} GB.",
    )
    yield Footing(
        node=resident.node,
        footprint=packing.footprint(resident.digest, resident.profile),
        size_bytes=line.size_bytes,
        size_vram=line.size_vram,
        load_s=resident.load_s,
    )


def _outcome(decision: Load, resident: Resident) -> str:
    """A prefetch gets its outcome when it is known whether somebody came."""
    if decision.cause == "prefetch":
        return ""
    return "spilled" if resident.spilled_bytes else "ok"


def settled(ending: Ending) -> Record:
    """A prefetch that was carried out came to its end."""
    return Settled(
        kind="prefetch", node=ending.node, model=ending.model, outcome=ending.kind, saved_s=ending.seconds
    )


def shadowed(ending: Ending) -> Record:
    """How a prefetch would have ended that was only thought of."""
    return Entry(
        kind="shadow",
        node=ending.node,
        model=ending.model,
        cause="prefetch",
        saved_s=round(ending.seconds, 3),
        outcome=ending.kind,
        reason="It was decided in shadow mode, and not carried out.",
    )


def preempted(decision: Load, call: CallOff, ending: Ending, seconds: float) -> Record:
    """A prefetch that was called off for demand."""
    return Entry(
        kind="prefetch",
        node=decision.node,
        model=decision.model,
        cause="preempted",
        seconds=seconds,
        saved_s=round(ending.seconds, 3),
        bytes=decision.bytes,
        outcome=ending.kind,
        reason=f"{decision.reason} It was called off: {call.reason}",
    )


def not_loaded(decision: Load, key: str, outcome: str, detail: str, seconds: float) -> Record:
    return Entry(
        kind=KINDS.get(decision.cause, "load"),
        node=decision.node,
        model=decision.model,
        cause=decision.cause,
        key=key,
        seconds=seconds,
        bytes=decision.bytes,
        outcome=outcome,
        reason=f"{decision.reason} {detail}",
    )


def warmed(warm: Warm, read: Warmed, *, there: bool) -> Record:
    """A prefix was replayed. It is open until a request found it, unless it was `there` already."""
    new = read.prompt_tokens - read.cached_tokens
    return Entry(
        kind="warm",
        node=warm.node,
        model=warm.model,
        cause=warm_cause(warm),
        seconds=read.seconds,
        outcome="cached" if there else "",
        reason=f"{warm.reason} {new} of {read.prompt_tokens} tokens were read in {read.prompt_eval_s:.2f} s.",
    )


def warm_ended(warm: Warm, saved_s: float | None) -> Record:
    return Settled(
        kind="warm",
        node=warm.node,
        model=warm.model,
        cause=warm_cause(warm),
        outcome="unused" if saved_s is None else "used",
        saved_s=saved_s or 0.0,
    )


def warm_cause(warm: Warm) -> str:
    return f"prefix {warm.prefix}"


def evicted(resident: Resident, cause: str, reason: str, seconds: float) -> Record:
    return Entry(
        kind="evict",
        node=resident.node,
        model=resident.model,
        cause=cause,
        seconds=seconds,
        bytes=resident.bytes,
        reason=reason,
    )


def evicted_late(resident: Resident, cause: str) -> Record:
    """The node carried out our unload after we had given it up."""
    return evicted(resident, cause, "Its unload took longer than its deadline.", 0.0)


def not_evicted(resident: Resident, error: Exception) -> Record:
    return Entry(kind="evict", node=resident.node, model=resident.model, outcome="failed", reason=str(error))


def found(resident: Resident) -> Record:
    """Someone else loaded it, or a scheduler before us."""
    return Entry(
        kind="load",
        node=resident.node,
        model=resident.model,
        cause="found",
        bytes=resident.bytes,
        reason=f"It was there with a context of {resident.profile.num_ctx} tokens; nobody here loaded it.",
    )


def evicted_by_node(resident: Resident, for_model: str) -> Record:
    """The node made room by its own rules."""
    return Entry(
        kind="evict",
        node=resident.node,
        model=resident.model,
        cause="node",
        bytes=resident.bytes,
        reason=f"The node evicted it by itself to load {for_model}.",
    )


def vanished(resident: Resident) -> Record:
    """Someone else unloaded it, or its runner died."""
    return Entry(
        kind="evict",
        node=resident.node,
        model=resident.model,
        cause="foreign",
        bytes=resident.bytes,
        reason="The node does not list it any more, and nobody here had unloaded it.",
    )


def altered(resident: Resident) -> Record:
    """Someone else reloaded it with other options."""
    return Entry(
        kind="reload",
        node=resident.node,
        model=resident.model,
        cause="foreign",
        bytes=resident.bytes,
        reason=f"Someone else reloaded it with a context of {resident.profile.num_ctx} tokens.",
    )


def speed(node: str, gbps: float) -> Record:
    return LoadSpeed(node=node, gbps=round(gbps, 3))


def quarantined(decision: Load, detail: str, seconds: float) -> Iterator[Record]:
    yield NodeBecame(node=decision.node, state="quarantined", reason=detail)
    yield Entry(
        kind="quarantine",
        node=decision.node,
        model=decision.model,
        cause=decision.cause,
        seconds=seconds,
        reason=detail,
    )


def recovered(node: str, reason: str) -> Iterator[Record]:
    yield NodeBecame(node=node, state="up", reason=reason)
    yield Entry(kind="recover", node=node, reason=reason)


def draining(decision: Drain) -> Record:
    return Entry(
        kind="drain",
        node=decision.node,
        model=decision.model,
        cause=f"for {decision.wanted_by}" if decision.wanted_by else "operator",
        reason=decision.reason,
    )


def refused(model: str, reason: str, detail: str, waiting: int) -> Record:
    return Entry(kind="refuse", model=model, cause=reason, outcome=f"{waiting} refused", reason=detail)


def numbers(node: Node, need: int, free: int) -> str:
    """The sizes that a message about a load on this node carries."""
    total = "an unknown total" if node.vram_bytes == UNKNOWN_VRAM else f"{node.vram_bytes / GB:.1f} GB"
    room = "" if node.vram_bytes == UNKNOWN_VRAM else f"{max(free, 0) / GB:.1f} GB were free of "
    return f"it was expected to need {need / GB:.1f} GB; {room}{total}"

"""How often the worker looks and how long it is patient; seconds unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Tests shorten these; an operation hardly ever has to."""

    tick_s: float = 1.0  # a round happens at least this often
    observe_s: float = 1.0  # between looks at a node's /api/ps
    ps_s: float = 3.0  # what an answer may take; more while the node loads
    version_s: float = 60.0  # between looks at /api/version
    arrivals_s: float = 0.25  # between looks at who asks for what, for prediction
    likely_s: float = 10.0  # between lists of likely models for an agent that has memory for them
    idle_agent_s: float = 300.0  # and for one that has none
    warm_s: float = 3.0  # between looks at what replayed prefixes saved
    warm_most_s: float = 120.0  # what replaying one may take
    past_s: float = 5.0  # between tries to read the past while the database is away
    standby_s: float = 0.25  # between tries of a scheduler that does not lead
    renew_s: float = 1.0  # between renewals of the lead
    operator_s: float = 0.5  # between looks at what operators asked for
    wish_s: float = 900.0  # what an operator asked for is given up after this
    sync_s: float = 60.0  # between readings of the nodes' catalogues (BRIDGE_SYNC_INTERVAL)
    stock_s: float = 2.0  # between looks whether a node's models changed: a pull, a delete
    gpus_s: float = 5.0  # between readings of the nodes' GPUs
    rows_s: float = 0.5  # between looks at the revision of the rows

    drain_s: float = 60.0  # a victim that turns out to be busy may take so long to end
    unload_s: float = 30.0  # from the unload to its confirmation by /api/ps
    confirm_s: float = 10.0  # from the answer to a load to its line in /api/ps

    recovery_s: float = 0.3  # from an unload until the driver shows its VRAM as free; doubles where too short
    recovery_most_s: float = 5.0  # Ollama itself waits no longer

    load_floor_s: float = 30.0  # every load may take this long (BRIDGE_LOAD_TIMEOUT)
    load_factor: float = 4.0  # and so many times what it took before
    unmeasured_gbps: float = 0.1  # GB/s that a load may be as slow as, until one was measured there

    misses: int = 3  # answers in a row that may be late before a node counts as down
    misses_loading: int = 10  # while it loads: Ollama holds locks then, and loading is not failing
    probe_s: float = 0.25  # from a node's end to the first look whether it is back; doubles
    probe_most_s: float = 2.0

    quarantine_s: float = 60.0  # first; doubles with each load that hangs
    quarantine_most_s: float = 900.0
    failure_s: float = 15.0  # a load that failed twice is not tried again before; doubles
    failure_most_s: float = 600.0

    stop_s: float = 2.0  # what running actions get when the worker stops


def doubled(first: float, most: float, times: int) -> float:
    """`first` doubled `times` times, at most `most`."""
    return min(first * 2.0 ** min(times, 32), most)

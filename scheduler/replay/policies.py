"""The policies that a trace can be replayed under, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

from scheduler.policy.config import Config
from scheduler.policy.foresight import Foresight
from scheduler.policy.markov import WindowMarkov
from scheduler.policy.prediction import Predictor
from scheduler.policy.state import Forecast, Node, Pin
from scheduler.replay.clairvoyant import Clairvoyant, Omniscient
from scheduler.replay.fleet import Timing
from scheduler.replay.gateway import Gateway
from scheduler.replay.ollama import OllamaFleet
from scheduler.replay.outcome import Outcome, Record, Timeline, middle, outcome
from scheduler.replay.trace import Trace

NAME_ORDERS = 5  # draws of the order of file names, for Ollama's choice of victims

# Sizes in a trace are exact, so nothing is kept free for what a formula may miss.
EXACT = Config(margin=0.0, margin_floor=0.0, runner_bytes=0, fit_bytes=0, beside=1.0)
ON_DEMAND = replace(EXACT, prefetch="off")
LRU = replace(ON_DEMAND, eviction="order", line_bound_s=0.0, min_residency_s=0.0, quantum_loads=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a replay runs on, and what its apps tell."""

    trace: Trace
    nodes: Callable[[], list[Node]]  # fresh ones for each run
    timing: Timing
    hints: bool = False  # apps name their next model
    picture: bool = False  # keep what a picture needs
    progress: Callable[[], None] = lambda: None  # called every 1024 requests
    pins: tuple[Pin, ...] = ()


Run = Callable[[Setting], list[Record]]


def _ollama(setting: Setting, *, routed: bool = False) -> list[Record]:
    calls = count()

    def progress() -> None:
        if next(calls) % NAME_ORDERS == 0:
            setting.progress()

    return [
        OllamaFleet(
            setting.trace,
            setting.nodes(),
            setting.timing,
            names_seed=seed,
            routed=routed,
            timeline=Timeline() if setting.picture and seed == 0 else None,
            progress=progress,
        ).run()
        for seed in range(NAME_ORDERS)
    ]


def _seed(setting: Setting) -> list[Record]:
    config = replace(LRU, margin=0.10, prefetch="confidence")
    return [_gateway(setting, config, ahead=Foresight(WindowMarkov(), config))]


def _bridge(setting: Setting, *, prefetch: bool = True, learn: bool = True) -> list[Record]:
    predictor = Predictor() if learn else None
    config = EXACT if prefetch else ON_DEMAND
    ahead = None if predictor is None else Foresight(predictor, config)
    return [_gateway(setting, config, forecast=predictor, ahead=ahead)]


def _belady(setting: Setting) -> list[Record]:
    return [_gateway(setting, replace(ON_DEMAND, eviction="order"), forecast=Clairvoyant(setting.trace))]


def _oracle(setting: Setting) -> list[Record]:
    future = Clairvoyant(setting.trace)
    config = replace(EXACT, eviction="order")
    return [_gateway(setting, config, forecast=future, ahead=Omniscient(future, config))]


def _gateway(
    setting: Setting, config: Config, forecast: Forecast | None = None, ahead: Foresight | None = None
) -> Record:
    return Gateway(
        setting.trace,
        setting.nodes(),
        setting.timing,
        config,
        forecast,
        ahead,
        hints=setting.hints,
        timeline=Timeline() if setting.picture else None,
        progress=setting.progress,
        pins=setting.pins,
    ).run()


def _bridge_with(setting: Setting, predictor: str) -> list[Record]:
    """The bridge with another predictor than its own."""
    if predictor == "none":
        return _bridge(setting, prefetch=False, learn=False)
    if predictor == "oracle":
        future = Clairvoyant(setting.trace)
        return [_gateway(setting, EXACT, forecast=future, ahead=Omniscient(future, EXACT))]
    if predictor == "seed":
        config = replace(EXACT, prefetch="confidence")
        return [_gateway(setting, config, ahead=Foresight(WindowMarkov(), config))]
    return _bridge(replace(setting, hints=setting.hints or predictor == "hints"))


PREDICTORS: dict[str, str] = {
    "own": "the bridge's own",
    "hints": "its own, and apps name their next model",
    "seed": "the original's, with its rule: what followed in the last 50 with 60 %",
    "none": "none: nothing is prefetched",
    "oracle": "the future itself",
}

POLICIES: dict[str, tuple[Run, str]] = {
    "ollama": (_ollama, "Ollama's own rules, each model at its home node; median over five orders of names"),
    "ollama-routed": (
        lambda s: _ollama(s, routed=True),
        "the same behind a router that knows what is loaded",
    ),
    "lru": (lambda s: [_gateway(s, LRU)], "own lines, least recently used goes, no prediction"),
    "seed": (_seed, "the original write-up: 10 % kept free, LRU, what followed in the last 50 with 60 %"),
    "bridge-plain": (
        lambda s: _bridge(s, prefetch=False, learn=False),
        "the bridge without any prediction: bounded switching, replicas, recency",
    ),
    "bridge-reactive": (lambda s: _bridge(s, prefetch=False), "the bridge without prefetch"),
    "bridge": (_bridge, "the bridge"),
    "fcfs": (
        lambda s: [_gateway(s, replace(LRU, eviction="regret", replica_factor=1e9))],
        "first come, first served: whoever waits longest has what is busy drained at once; no replicas",
    ),
    "belady": (_belady, "evicts what is needed latest, loads on demand; knows the future"),
    "oracle": (_oracle, "as belady, and loads ahead; knows the future"),
}


class UnknownPolicy(ValueError):
    """No policy has this name; the message lists those that there are."""


def known(name: str) -> str:
    """The name, when it is that of a policy, or `bridge+PREDICTOR`. Raises UnknownPolicy."""
    policy, plus, predictor = name.partition("+")
    if policy not in POLICIES:
        raise UnknownPolicy(f"there is no policy {policy!r}; there are {', '.join(POLICIES)}.")
    if plus and (policy != "bridge" or predictor not in PREDICTORS):
        raise UnknownPolicy(
            f"{name!r} is not understood: only the bridge takes other predictors, as bridge+NAME; "
            f"there are {', '.join(PREDICTORS)}."
        )
    return name


def run(name: str, setting: Setting) -> tuple[Outcome, Record]:
    """The figures of a policy, and the record of its first run. Raises UnknownPolicy."""
    policy, plus, predictor = known(name).partition("+")
    records = _bridge_with(setting, predictor) if plus else POLICIES[policy][0](setting)
    return middle([outcome(name, setting.trace, r) for r in records]), records[0]

"""Generated workloads, by a seed: the same seed gives the same trace on every machine."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from scheduler.replay.trace import Trace, in_order

SIZES_GB = (2.5, 5.5, 6.5, 10.5, 14.0, 21.0)  # Q4 files of 3, 8, 9, 14, 20 and 32 billion weights
COMMON = (0, 3, 3, 2, 2, 1)  # small models are the more common ones
SPREAD = 0.6  # of the logarithm of think times


def switching(seed: int, requests: int = 12_000) -> Trace:
    """One caller that goes round six models: 80 % to the next, 10 % the same again, 10 % any."""
    random = Random(seed)  # noqa: S311
    sizes = [6.5, 10.5, 5.5, 6.5, 10.5, 5.5]
    trace = _empty([f"w{i}" for i in range(len(sizes))], sizes, ["app0"])
    at, model = 0.0, 0
    for _ in range(requests):
        _add(trace, at, 0, model, 600, 200)
        at += random.lognormvariate(3.0, SPREAD)
        draw = random.random()
        model = (model + 1) % 6 if draw < 0.8 else model if draw < 0.9 else random.randrange(6)
    return trace


def pipelines(seed: int, apps: int = 10, hours: float = 48.0, models: int = 14) -> Trace:
    """Interleaved workflows: each app runs a fixed pipeline of two to four models a few times, then rests."""
    random = Random(seed)  # noqa: S311
    sizes = random.choices(SIZES_GB, COMMON, k=models)
    trace = _empty([f"p{i:02d}" for i in range(models)], sizes, [f"app{i}" for i in range(apps)])
    for app in range(apps):
        steps = [random.randrange(models) for _ in range(random.randint(2, 4))]
        rest_s = random.uniform(600, 1500)
        at = random.expovariate(1 / 300)
        while at < hours * 3600:
            for _ in range(random.randint(1, 4)):
                for model in steps:
                    _add(trace, at, app, model, 900, 150)
                    at += random.lognormvariate(2.5, 0.5)
            at += random.expovariate(1 / rest_s)
    return in_order(trace)


def unstructured(seed: int, requests: int = 10_000, models: int = 12, gap_s: float = 20.0) -> Trace:
    """Models drawn at random by one of ten callers: there is nothing to predict."""
    random = Random(seed)  # noqa: S311
    sizes = [random.choice(SIZES_GB[:5]) for _ in range(models)]
    trace = _empty([f"m{i:02d}" for i in range(models)], sizes, [f"app{i}" for i in range(10)])
    at = 0.0
    for _ in range(requests):
        _add(trace, at, random.randrange(10), random.randrange(models), 500, 200)
        at += random.expovariate(1 / gap_s)
    return trace


WORKLOADS: dict[str, Callable[[int], Trace]] = {
    "switching": switching,
    "pipelines": pipelines,
    "random": unstructured,
}


def _empty(models: list[str], sizes_gb: list[float], keys: list[str]) -> Trace:
    return Trace(model_names=models, sizes_gb=sizes_gb, key_names=keys)


def _add(trace: Trace, at: float, key: int, model: int, prompt: int, output: int) -> None:
    trace.times.append(at)
    trace.keys.append(key)
    trace.models.append(model)
    trace.prompt_tokens.append(prompt)
    trace.output_tokens.append(output)

"""`python -m tests.bench`: measure the bridge beside nginx and LiteLLM, print tables, write one JSON file."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import uvloop

from tests.bench.figures import Block, against_direct
from tests.bench.parts.targets import PARTS
from tests.bench.processes import cores
from tests.bench.report import machine, tables, write_json
from tests.bench.scenarios import FRESH, SCENARIOS, Failed, Pace, applies
from tests.bench.targets import LITELLM, ROOT, STARTERS, Place, Target, start_upstream

FULL = Pace(warm_s=1.0, seconds=4.0, open_streams=1000)
QUICK = Pace(warm_s=0.5, seconds=1.0, open_streams=200)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--parts", action="store_true", help="clients and ASGI servers instead of whole proxies"
    )
    parser.add_argument("--targets", nargs="+", metavar="NAME", help="some of the targets only")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--routes", nargs="+", choices=["native", "openai"], default=["native", "openai"])
    parser.add_argument("--rounds", type=int, help="how often each block is repeated (default 3, quick 1)")
    parser.add_argument("--quick", action="store_true", help="short blocks, one round: shows that it runs")
    parser.add_argument("--json", type=Path, help="where the JSON goes (default bench-results/TIME.json)")
    options = parser.parse_args()
    known = PARTS if options.parts else STARTERS
    options.targets = options.targets or list(known)
    if unknown := set(options.targets) - set(known):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return options


def main() -> int:
    options = arguments()
    if sys.platform != "linux":
        raise SystemExit("the bench reads /proc and pins cores, so it runs on Linux only")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started ends with it
    pace = QUICK if options.quick else FULL
    rounds = options.rounds or (1 if options.quick else 3)
    about = machine() | {"pace": repr(pace), "rounds": rounds, "litellm": LITELLM, "command": sys.argv[1:]}
    with started(options.targets) as (place, targets):
        plan = list(steps(targets, options.scenarios, options.routes, rounds))
        measured = []
        for number, step in enumerate(plan, 1):
            print(f"[{number}/{len(plan)}] ", end="")
            if (block := measure(step, pace, place)) is not None:
                measured.append(block)
    compared = against_direct(measured)
    print(f"\n{tables(compared)}\n")
    path = options.json or ROOT / "bench-results" / time.strftime("%Y%m%d-%H%M%S.json")
    write_json(path, about, compared)
    print(f"{about['cpu']}, Python {about['python']}, load before {about['load_1m']:.2f}; written to {path}")
    return 0 if len(measured) == len(plan) else 1


@contextmanager
def started(names: list[str]) -> Iterator[tuple[Place, list[Target]]]:
    """Upstream and targets, each proxy on the first core, the upstream and this process on the second."""
    proxy_core, load_core = cores()
    os.sched_setaffinity(0, {load_core})
    folder = Path(tempfile.mkdtemp(prefix="bridge-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        upstream, port = start_upstream(load_core, folder)
        stack.callback(upstream.stop)
        place = Place(upstream_port=port, core=proxy_core, folder=folder)
        yield place, [stack.enter_context(running(name, place)) for name in names]


@contextmanager
def running(name: str, place: Place) -> Iterator[Target]:
    """A new instance of the target, with a folder of its own."""
    print(f"starting {name} ...", flush=True)
    target = (STARTERS | PARTS)[name](replace(place, folder=Path(tempfile.mkdtemp(dir=place.folder))))
    try:
        yield target
    finally:
        if target.process is not None:
            target.process.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    round: int
    scenario: str
    target: Target
    route: str


def steps(targets: list[Target], scenarios: list[str], routes: list[str], rounds: int) -> Iterator[Step]:
    """Targets alternate within a scenario, so that a slow phase of the machine meets them all."""
    for number, scenario, route, target in product(range(rounds), scenarios, routes, targets):
        if route in target.routes and applies(scenario, target):
            yield Step(round=number, scenario=scenario, target=target, route=route)


def measure(step: Step, pace: Pace, place: Place) -> Block | None:
    """The figures, printed too; None when the target answered wrongly."""
    target = step.target
    with ExitStack() as stack:
        if step.scenario in FRESH:
            target = stack.enter_context(running(target.name, place))
        print(f"{step.scenario} {target.name} {step.route}: ", end="", flush=True)
        try:
            figures = uvloop.run(SCENARIOS[step.scenario](target, step.route, pace))
        except Failed as error:
            print(f"FAILED, {error}", flush=True)
            return None
    print(", ".join(f"{name} {value:.3g}" for name, value in figures.items()), flush=True)
    return Block(
        round=step.round, scenario=step.scenario, target=target.name, route=step.route, figures=figures
    )


if __name__ == "__main__":
    sys.exit(main())

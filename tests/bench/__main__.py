"""`python -m tests.bench`: measure the bridge beside nginx and LiteLLM, print tables, write one JSON file."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvloop

from tests.bench.figures import Block, against_direct
from tests.bench.processes import cores
from tests.bench.report import machine, tables, write_json
from tests.bench.scenarios import FINAL, SCENARIOS, Failed, Pace, applies
from tests.bench.targets import LITELLM, ROOT, STARTERS, Place, Target, start_upstream

FULL = Pace(warm_s=1.0, seconds=4.0, open_streams=1000)
QUICK = Pace(warm_s=0.5, seconds=1.0, open_streams=200)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--targets", nargs="+", choices=STARTERS, default=list(STARTERS))
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--routes", nargs="+", choices=["native", "openai"], default=["native", "openai"])
    parser.add_argument("--rounds", type=int, help="how often each block is repeated (default 3, quick 1)")
    parser.add_argument("--quick", action="store_true", help="short blocks, one round: shows that it runs")
    parser.add_argument("--json", type=Path, help="where the JSON goes (default bench-results/TIME.json)")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if sys.platform != "linux":
        raise SystemExit("the bench reads /proc and pins cores, so it runs on Linux only")
    pace = QUICK if options.quick else FULL
    rounds = options.rounds or (1 if options.quick else 3)
    about = machine() | {"pace": repr(pace), "rounds": rounds, "litellm": LITELLM, "command": sys.argv[1:]}
    with started(options.targets) as targets:
        plan = list(blocks(targets, options.scenarios, options.routes, rounds))
        measured = [
            block for number, step in enumerate(plan, 1) if (block := measure(step, pace, number, len(plan)))
        ]
    compared = against_direct(measured)
    print(f"\n{tables(compared)}\n")
    path = options.json or ROOT / "bench-results" / time.strftime("%Y%m%d-%H%M%S.json")
    write_json(path, about, compared)
    print(f"{about['cpu']}, Python {about['python']}, load before {about['load_1m']:.2f}; written to {path}")
    return 0 if len(measured) == len(plan) else 1


@contextmanager
def started(names: list[str]) -> Iterator[list[Target]]:
    """Upstream and targets, each proxy on the first core, the upstream and this process on the second."""
    proxy_core, load_core = cores()
    os.sched_setaffinity(0, {load_core})
    folder = Path(tempfile.mkdtemp(prefix="bridge-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        upstream, port = start_upstream(load_core, folder)
        stack.callback(upstream.stop)
        targets = []
        for name in names:
            print(f"starting {name} ...", flush=True)
            target = STARTERS[name](Place(upstream_port=port, core=proxy_core, folder=folder))
            if target.process is not None:
                stack.callback(target.process.stop)
            targets.append(target)
        yield targets


Step = tuple[int, str, Target, str]  # round, scenario, target, route


def blocks(targets: list[Target], scenarios: list[str], routes: list[str], rounds: int) -> Iterator[Step]:
    """Targets alternate within a scenario, so that a slow phase of the machine meets them all."""
    repeated = [name for name in scenarios if name not in FINAL]
    final = [name for name in scenarios if name in FINAL]
    for number in range(rounds):
        for scenario in repeated:
            for route in routes:
                for target in targets:
                    if route in target.routes and applies(scenario, target):
                        yield number, scenario, target, route
    for scenario in final:
        for target in targets:
            if applies(scenario, target):
                yield rounds - 1, scenario, target, target.routes[0]


def measure(step: Step, pace: Pace, number: int, total: int) -> Block | None:
    round_number, scenario, target, route = step
    label = f"[{number}/{total}] {scenario} {target.name} {route}"
    try:
        figures = uvloop.run(SCENARIOS[scenario](target, route, pace))
    except Failed as error:
        print(f"{label}: FAILED, {error}", flush=True)
        return None
    print(f"{label}: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items()), flush=True)
    return Block(round=round_number, scenario=scenario, target=target.name, route=route, figures=figures)


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-scheduling`: the replay's ratios against their targets, as a table and as JSON.

Recorded traces are read from `--traces` where they are; the generated workloads need nothing. Everything is
deterministic: the same commit gives the same figures on every machine, only the seconds differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from scheduler.policy.config import Config
from scheduler.policy.decide import decide
from scheduler.policy.prediction import Predictor
from scheduler.replay import policies, synthetic
from scheduler.replay.fleet import Timing, parse
from scheduler.replay.outcome import Outcome, Record
from scheduler.replay.policies import Setting
from scheduler.replay.trace import Trace, faster, part, read
from tests.bench.states import crowded_state

ROOT = Path(__file__).resolve().parents[2]
TIMING = Timing()
RECORDED = ("agentic_coding_teams", "servegen_mix24h")


@dataclass(frozen=True, slots=True)
class Case:
    """One workload on one fleet."""

    workload: str  # a file's name, or KIND:SEED; with "#1" or "#2": its first or second half
    nodes: str
    speed: float = 1.0

    def __str__(self) -> str:
        quick = f" x{self.speed:.2f}" if self.speed != 1 else ""
        return f"{self.workload}{quick} on {self.nodes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    case: str
    what: str
    value: float
    bound: float
    met: bool


class Bench:
    """Replays each (case, policy) once and keeps the outcome."""

    def __init__(self, traces: Path) -> None:
        self.traces = traces
        self.outcomes: dict[tuple[Case, str], Outcome] = {}
        self.load = cache(self._load)

    def _load(self, case: Case) -> Trace:
        name, _, half = case.workload.partition("#")
        kind, _, seed = name.partition(":")
        trace = synthetic.WORKLOADS[kind](int(seed)) if seed else read(self.traces / f"{name}.csv")
        if half:
            middle = len(trace) // 2
            trace = part(trace, 0, middle) if half == "1" else part(trace, middle, len(trace))
        return faster(trace, case.speed) if case.speed != 1 else trace

    def there(self, workload: str) -> bool:
        return ":" in workload or (self.traces / f"{workload.partition('#')[0]}.csv").exists()

    def setting(self, case: Case, *, hints: bool = False) -> Setting:
        return Setting(
            trace=self.load(case), nodes=lambda: parse(case.nodes, TIMING), timing=TIMING, hints=hints
        )

    def run(self, case: Case, policy: str) -> Outcome:
        """A policy's outcome; `bridge+hints` is the bridge whose apps name their next model."""
        if (case, policy) not in self.outcomes:
            name = policy.removesuffix("+hints")
            started = time.perf_counter()
            outcome, _ = policies.run(name, self.setting(case, hints=name != policy))
            self.outcomes[case, policy] = replace(outcome, policy=policy)
            took = time.perf_counter() - started
            print(f"  {case}: {policy} ({took:.1f} s)", file=sys.stderr)
        return self.outcomes[case, policy]

    def ratio(self, case: Case, figure: str, policy: str, to: str) -> float:
        mine, other = getattr(self.run(case, policy), figure), getattr(self.run(case, to), figure)
        return mine / other if other else float("inf") if mine else 1.0


Target = Callable[[Bench], Iterator[Verdict]]


def at_most(bench: Bench, case: Case, policy: str, *bounds: tuple[str, str, float]) -> Iterator[Verdict]:
    """Verdicts on ratios: (figure, policy to compare with, the most it may be)."""
    if not bench.there(case.workload):
        return
    for figure, to, bound in bounds:
        value = bench.ratio(case, figure, policy, to)
        what = f"{policy}: {figure} / {to}"
        yield Verdict(case=str(case), what=what, value=value, bound=bound, met=value <= bound)


PIPELINES = [Case(w, "1x48") for w in ("syn_pipelines10", "pipelines:103", "pipelines:203", "pipelines:303")]
SWITCHING = [Case(w, "1x24") for w in ("syn_seed_switching", "switching:7", "switching:8")]
AGENTIC = [Case(f"agentic_coding_teams{half}", "2x48") for half in ("", "#1", "#2")]
SERVEGEN = [Case(f"servegen_mix24h{half}", "2x24") for half in ("", "#1", "#2")]
RANDOM = [Case(w, "1x48") for w in ("random:1", "random:2", "random:3")]


def without_prediction(bench: Bench) -> Iterator[Verdict]:
    """The scheduler alone: no prefetch."""
    for case in PIPELINES:
        bounds = ("cold_share", "ollama", 0.55), ("cold_share", "seed", 0.90)
        yield from at_most(bench, case, "bridge-reactive", *bounds)
    for case in AGENTIC:
        bounds = ("wait_p99_s", "ollama", 0.25), ("cold_share", "seed", 0.70)
        yield from at_most(bench, case, "bridge-reactive", *bounds)
    for case in SERVEGEN:
        yield from at_most(
            bench, case, "bridge-reactive", ("wait_mean_s", "seed", 0.70), ("wait_p99_s", "seed", 0.70)
        )


def saturated(bench: Bench) -> Iterator[Verdict]:
    """At 1.5 times the speed that Ollama carries: p99 wait within a deadline of ten minutes."""
    for workload, nodes in (
        ("agentic_coding_teams", "2x48"),
        ("servegen_mix24h", "2x24"),
        ("pipelines:103", "1x48"),
    ):
        if bench.there(workload):
            case = Case(workload, nodes, round(1.5 * capacity(bench, workload, nodes), 3))
            bounds = (
                ("wait_p99_s", "ollama", 0.05),
                ("wait_mean_s", "oracle", 1.2),
                ("wait_p99_s", "oracle", 1.2),
            )
            yield from at_most(bench, case, "bridge-reactive", *bounds)


def capacity(bench: Bench, workload: str, nodes: str) -> float:
    """The largest speed, in steps of a fifth, at which Ollama's p99 wait is at most 600 s."""

    def carries(speed: float) -> bool:
        setting = bench.setting(Case(workload, nodes, speed))
        return policies.run("ollama", setting)[0].wait_p99_s <= 600

    speed = 0.5
    while carries(speed * 2):
        speed *= 2
    while carries(speed * 1.2):
        speed *= 1.2
    return speed


def with_prediction(bench: Bench) -> Iterator[Verdict]:
    for case in SWITCHING:
        yield from at_most(
            bench, case, "bridge", ("cold_share", "ollama", 0.12), ("cold_share", "seed", 0.75)
        )
        yield from at_most(bench, case, "bridge+hints", ("cold_share", "ollama", 0.03))
        yield from hidden(bench, case)
    for case in PIPELINES:
        bounds = ("cold_share", "ollama", 0.35), ("cold_share", "seed", 0.55), ("cold_share", "belady", 0.90)
        yield from at_most(bench, case, "bridge", *bounds)
    for case in AGENTIC:
        yield from at_most(
            bench, case, "bridge", ("wait_p99_s", "ollama", 0.25), ("cold_share", "seed", 0.65)
        )
    for case in SERVEGEN:
        yield from at_most(bench, case, "bridge", ("wait_mean_s", "seed", 0.65), ("wait_p99_s", "seed", 0.65))


def hidden(bench: Bench, case: Case) -> Iterator[Verdict]:
    """With hints, the p99 wait in load times of a mean model."""
    if bench.there(case.workload):
        trace = bench.load(case)
        load_s = TIMING.load_overhead_s + sum(trace.sizes_gb) / len(trace.sizes_gb) / TIMING.load_gbps
        value = bench.run(case, "bridge+hints").wait_p99_s / load_s
        yield Verdict(
            case=str(case), what="bridge+hints: p99 wait in loads", value=value, bound=0.15, met=value <= 0.15
        )


def costs(bench: Bench) -> Iterator[Verdict]:
    """Prefetch wastes little, and costs nothing where there is nothing to predict."""
    for case in (*PIPELINES, *SWITCHING[:1], *AGENTIC[:1], *SERVEGEN[:1]):
        if bench.there(case.workload):
            outcome = bench.run(case, "bridge")
            for name, of in (("loads", outcome.loads), ("prefetches", outcome.prefetches)):
                share = outcome.wasted / max(of, 1)
                yield Verdict(
                    case=str(case), what=f"bridge: wasted / {name}", value=share, bound=0.2, met=share <= 0.2
                )
            yield from at_most(bench, case, "bridge", ("loads", "lru", 1.3))
    for case in RANDOM:
        bounds = ("wait_mean_s", "bridge-reactive", 1.02), ("cold_share", "bridge-reactive", 1.02)
        yield from at_most(bench, case, "bridge", *bounds)


def fair(bench: Bench) -> Iterator[Verdict]:
    """Nobody waits much longer than first come, first served; keys fare alike."""
    for case in (PIPELINES[0], AGENTIC[0], SERVEGEN[0]):
        if bench.there(case.workload):
            value = bench.run(case, "bridge").jain
            yield Verdict(
                case=str(case), what="bridge: Jain index, at least", value=value, bound=0.9, met=value >= 0.9
            )
            setting = bench.setting(case)
            longer = longest_delay(policies.run("bridge", setting)[1], policies.run("fcfs", setting)[1])
            largest = TIMING.load_overhead_s + max(setting.trace.sizes_gb) / TIMING.load_gbps
            bound = Config().line_bound_s + 2 * largest
            what = "bridge: longest wait beyond first come, first served (s)"
            yield Verdict(case=str(case), what=what, value=longer, bound=bound, met=longer <= bound)


def longest_delay(ours: Record, theirs: Record) -> float:
    return max(a - b for a, b in zip(ours.waits, theirs.waits, strict=True))


def speed(bench: Bench) -> Iterator[Verdict]:
    """Seconds on this machine: the only figures that differ from one to the next."""
    state, now = crowded_state(models=200, nodes=50)
    took = []
    for _ in range(20):
        started = time.perf_counter()
        decisions = decide(state, now)
        took.append((time.perf_counter() - started) / max(len(decisions), 1))
    value = sorted(took)[len(took) // 2] * 1e3
    yield Verdict(
        case="200 models on 50 nodes", what="ms per decision", value=value, bound=1.0, met=value < 1
    )
    value = predictor_ms()
    yield Verdict(
        case="200 models, 10,000 keys", what="ms per prediction", value=value, bound=1.0, met=value < 1
    )
    for policy, bound in (("bridge-plain", 27_000.0), ("bridge", 100_000.0)):
        trace = synthetic.switching(1, requests=27_000)
        setting = Setting(trace=trace, nodes=lambda: parse("1x48", TIMING), timing=TIMING)
        started = time.perf_counter()
        policies.run(policy, setting)
        value = len(trace) / (time.perf_counter() - started)
        what = f"{policy}: requests per second replayed, at least"
        yield Verdict(case="switching:1 on 1x48", what=what, value=value, bound=bound, met=value >= bound)


def predictor_ms() -> float:
    """Median ms of one observation and one forecast for all models, in the thick of a busy hour."""
    predictor = Predictor()
    trace = synthetic.unstructured(1, requests=40_000, models=200, gap_s=0.25)
    took = []
    for i, at in enumerate(trace.times):
        predictor.observe(at, f"key{i * 7919 % 10_000}", trace.model_names[trace.models[i]])
        if i >= 38_000:
            started = time.perf_counter()
            predictor.chances(at, 60.0, 1)
            took.append(time.perf_counter() - started)
    return sorted(took)[len(took) // 2] * 1e3


TARGETS: dict[str, Target] = {
    "Without prediction": without_prediction,
    "Saturated, without prediction": saturated,
    "With prediction": with_prediction,
    "What prefetch costs": costs,
    "Fairness": fair,
    "Speed": speed,
}


def show(bench: Bench, results: dict[str, list[Verdict]]) -> str:
    lines = []
    for title, verdicts in results.items():
        lines += [f"\n### {title}", "", "| workload | figure | value | target | |", "|---|---|---|---|---|"]
        for v in verdicts:
            lines.append(
                f"| {v.case} | {v.what} | {v.value:.3g} | {v.bound:.3g} | {'met' if v.met else 'NOT met'} |"
            )
    lines += [
        "\n### Outcomes",
        "",
        "| workload | policy | cold % | mean s | p95 | p99 | max | loads | prefetched | wasted | Jain |",
    ]
    lines.append("|" + "---|" * 11)
    for (case, _), o in bench.outcomes.items():
        waits = f"{o.wait_mean_s:.2f} | {o.wait_p95_s:.1f} | {o.wait_p99_s:.1f} | {o.wait_max_s:.0f}"
        counts = f"{o.loads} | {o.prefetches} | {o.wasted} | {o.jain:.3f}"
        lines.append(f"| {case} | {o.policy} | {100 * o.cold_share:.1f} | {waits} | {counts} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--traces", type=Path, default=ROOT.parent / "shared" / "traces")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results" / "scheduling.json")
    parser.add_argument("--only", choices=list(TARGETS), help="one group of targets")
    arguments = parser.parse_args()
    bench = Bench(arguments.traces)
    if not all(bench.there(name) for name in RECORDED):
        print(f"No recorded traces in {arguments.traces}: only generated workloads are run.", file=sys.stderr)
    wanted = {arguments.only: TARGETS[arguments.only]} if arguments.only else TARGETS
    results = {title: list(target(bench)) for title, target in wanted.items()}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    content = {title: [asdict(v) for v in verdicts] for title, verdicts in results.items()}
    outcomes = [{"case": str(case), **asdict(o)} for (case, _), o in bench.outcomes.items()]
    arguments.out.write_text(json.dumps({"targets": content, "outcomes": outcomes}, indent=1) + "\n")
    print(show(bench, results))
    missed = [v for verdicts in results.values() for v in verdicts if not v.met]
    total = sum(map(len, results.values()))
    print(f"\n{len(missed)} of {total} targets not met; figures in {arguments.out.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

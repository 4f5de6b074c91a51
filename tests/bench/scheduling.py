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
from statistics import median

from scheduler.policy.config import Config
from scheduler.policy.decide import decide
from scheduler.policy.prediction import Predictor
from scheduler.replay import policies, synthetic
from scheduler.replay.fleet import Timing, parse
from scheduler.replay.outcome import Outcome, Record
from scheduler.replay.policies import Setting
from scheduler.replay.trace import Trace, faster, part, read
from tests.bench.calibration import reliability, said_and_came
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
    """One target: the median over the cases of a family, and each of them."""

    case: str
    what: str
    value: float
    bound: float
    met: bool
    each: tuple[float, ...] = ()


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


def verdict(
    name: str, what: str, values: list[float], bound: float, *, least: bool = False
) -> Iterator[Verdict]:
    """Whether the median meets the bound; with `least` it must not be below."""
    if values:
        value = median(values)
        met = value >= bound if least else value <= bound
        yield Verdict(case=name, what=what, value=value, bound=bound, met=met, each=tuple(values))


def at_most(
    bench: Bench, name: str, cases: list[Case], policy: str, *bounds: tuple[str, str, float]
) -> Iterator[Verdict]:
    """Verdicts on ratios: (figure, policy to compare with, the most their median may be)."""
    there = [case for case in cases if bench.there(case.workload)]
    for figure, to, bound in bounds:
        ratios = [bench.ratio(case, figure, policy, to) for case in there]
        yield from verdict(name, f"{policy}: {figure} / {to}", ratios, bound)


PIPELINES = [Case(w, "1x48") for w in ("syn_pipelines10", "pipelines:103", "pipelines:203", "pipelines:303")]
SWITCHING = [Case(w, "1x24") for w in ("syn_seed_switching", "switching:7", "switching:8")]
AGENTIC = [Case(f"agentic_coding_teams{half}", "2x48") for half in ("", "#1", "#2")]
SERVEGEN = [Case(f"servegen_mix24h{half}", "2x24") for half in ("", "#1", "#2")]
RANDOM = [Case(w, "1x48") for w in ("random:1", "random:2", "random:3")]


FAMILIES = {
    "pipelines, 4 seeds, on 1x48": PIPELINES,
    "switching, 3 seeds, on 1x24": SWITCHING,
    "agentic, whole and halves, on 2x48": AGENTIC,
    "servegen, whole and halves, on 2x24": SERVEGEN,
    "random, 3 seeds, on 1x48": RANDOM,
}
NAMES = {id(cases): name for name, cases in FAMILIES.items()}


def targets(
    bench: Bench, cases: list[Case], policy: str, *bounds: tuple[str, str, float]
) -> Iterator[Verdict]:
    """`at_most` for one of the families."""
    yield from at_most(bench, NAMES[id(cases)], cases, policy, *bounds)


def without_prediction(bench: Bench) -> Iterator[Verdict]:
    """The scheduler alone: no prefetch."""
    for cases in (PIPELINES[:1], PIPELINES):
        name = NAMES.get(id(cases), str(cases[0]))
        bounds = ("cold_share", "ollama", 0.55), ("cold_share", "seed", 0.90)
        yield from at_most(bench, name, cases, "bridge-reactive", *bounds)
    agentic = ("wait_p99_s", "ollama", 0.25), ("cold_share", "seed", 0.70)
    yield from targets(bench, AGENTIC, "bridge-reactive", *agentic)
    servegen = ("wait_mean_s", "seed", 0.70), ("wait_p99_s", "seed", 0.70)
    yield from targets(bench, SERVEGEN, "bridge-reactive", *servegen)


def saturated(bench: Bench) -> Iterator[Verdict]:
    """At 1.5 times the speed that Ollama carries: p99 wait within a deadline of ten minutes."""
    cases = [
        Case(workload, nodes, round(1.5 * capacity(bench, workload, nodes), 3))
        for workload, nodes in (
            ("agentic_coding_teams", "2x48"),
            ("servegen_mix24h", "2x24"),
            ("pipelines:103", "1x48"),
        )
        if bench.there(workload)
    ]
    bounds = ("wait_p99_s", "ollama", 0.05), ("wait_mean_s", "oracle", 1.2), ("wait_p99_s", "oracle", 1.2)
    yield from at_most(bench, ", ".join(map(str, cases)), cases, "bridge-reactive", *bounds)


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
    switching = ("cold_share", "ollama", 0.12), ("cold_share", "seed", 0.75)
    yield from targets(bench, SWITCHING, "bridge", *switching)
    yield from targets(bench, SWITCHING, "bridge+hints", ("cold_share", "ollama", 0.03))
    there = [case for case in SWITCHING if bench.there(case.workload)]
    in_loads = [bench.run(case, "bridge+hints").wait_p99_s / mean_load_s(bench.load(case)) for case in there]
    yield from verdict(NAMES[id(SWITCHING)], "bridge+hints: p99 wait in loads", in_loads, 0.15)
    pipelines = ("cold_share", "ollama", 0.35), ("cold_share", "seed", 0.55), ("cold_share", "belady", 0.90)
    yield from targets(bench, PIPELINES, "bridge", *pipelines)
    yield from targets(bench, AGENTIC, "bridge", ("wait_p99_s", "ollama", 0.25), ("cold_share", "seed", 0.65))
    servegen = ("wait_mean_s", "seed", 0.65), ("wait_p99_s", "seed", 0.65)
    yield from targets(bench, SERVEGEN, "bridge", *servegen)


def mean_load_s(trace: Trace) -> float:
    """Seconds that the load of a mean model takes."""
    return TIMING.load_overhead_s + sum(trace.sizes_gb) / len(trace.sizes_gb) / TIMING.load_gbps


def costs(bench: Bench) -> Iterator[Verdict]:
    """Prefetch wastes little, and costs nothing where there is nothing to predict."""
    for cases in (PIPELINES, SWITCHING, AGENTIC, SERVEGEN):
        there = [case for case in cases if bench.there(case.workload)]
        outcomes = [bench.run(case, "bridge") for case in there]
        shares = [outcome.wasted / max(outcome.loads, 1) for outcome in outcomes]
        yield from verdict(NAMES[id(cases)], "bridge: wasted / loads", shares, 0.2)
        yield from targets(bench, cases, "bridge", ("loads", "lru", 1.3))
    bounds = ("wait_mean_s", "bridge-reactive", 1.02), ("cold_share", "bridge-reactive", 1.02)
    yield from targets(bench, RANDOM, "bridge", *bounds)


def fair(bench: Bench) -> Iterator[Verdict]:
    """Nobody waits much longer than first come, first served; keys fare alike."""
    for case in (PIPELINES[0], AGENTIC[0], SERVEGEN[0]):
        if bench.there(case.workload):
            jain = bench.run(case, "bridge").jain
            yield from verdict(str(case), "bridge: Jain index, at least", [jain], 0.9, least=True)
            setting = bench.setting(case)
            longer = longest_delay(policies.run("bridge", setting)[1], policies.run("fcfs", setting)[1])
            largest = TIMING.load_overhead_s + max(setting.trace.sizes_gb) / TIMING.load_gbps
            what = "bridge: longest wait beyond first come, first served (s)"
            yield from verdict(str(case), what, [longer], Config().line_bound_s + 2 * largest)


def longest_delay(ours: Record, theirs: Record) -> float:
    return max(a - b for a, b in zip(ours.waits, theirs.waits, strict=True))


def speed(bench: Bench) -> Iterator[Verdict]:
    """Seconds of one core of this machine: the only figures that differ from one to the next."""
    state, now = crowded_state(models=200, nodes=50)
    took = []
    for _ in range(20):
        started = time.process_time()
        decisions = decide(state, now)
        took.append((time.process_time() - started) / max(len(decisions), 1))
    yield from verdict("200 models on 50 nodes", "ms per decision", [median(took) * 1e3], 1.0)
    yield from verdict("200 models, 10,000 keys", "ms per prediction", [predictor_ms()], 1.0)
    for policy, bound in (("bridge-plain", 27_000.0), ("bridge", 100_000.0)):
        cases = [c for c in (PIPELINES[0], AGENTIC[0], SERVEGEN[0]) if bench.there(c.workload)]
        what = f"{policy}: requests per second replayed, at least"
        rates = [rate(bench.setting(case), policy) for case in cases]
        yield from verdict(", ".join(map(str, cases)), what, rates, bound, least=True)


def rate(setting: Setting, policy: str) -> float:
    """Requests per second of one core's time."""
    started = time.process_time()
    policies.run(policy, setting)
    return len(setting.trace) / (time.process_time() - started)


def predictor_ms() -> float:
    """Median ms of one observation and one forecast for all models, in the thick of a busy hour."""
    predictor = Predictor()
    trace = synthetic.unstructured(1, requests=40_000, models=200, gap_s=0.25)
    took = []
    for i, at in enumerate(trace.times):
        predictor.observe(at, f"key{i * 7919 % 10_000}", trace.model_names[trace.models[i]])
        if i >= 38_000:
            started = time.process_time()
            predictor.chances(at, 60.0, 1)
            took.append(time.process_time() - started)
    return median(took) * 1e3


TARGETS: dict[str, Target] = {
    "Without prediction": without_prediction,
    "Saturated, without prediction": saturated,
    "With prediction": with_prediction,
    "What prefetch costs": costs,
    "Fairness": fair,
    "Speed": speed,
}


def calibration(bench: Bench) -> str:
    """Reliability tables: what was said, and how often somebody came."""
    lines = ["\n### Calibration", "", "| workload | horizon | chance | moments | said | came |"]
    lines.append("|" + "---|" * 6)
    for case in (PIPELINES[0], AGENTIC[0], SERVEGEN[0]):
        if bench.there(case.workload):
            for horizon_s, steps in ((30.0, 1), (120.0, 3)):
                table = reliability(said_and_came(bench.load(case), horizon_s, steps, every=9))
                name = f"{case.workload} | {horizon_s:.0f} s"
                lines += [
                    f"| {name} | {r.least:.2f}-{r.most:.2f} | {r.count} | {r.said:.3f} | {r.came:.3f} |"
                    for r in table.rows
                ]
                lines.append(f"| {name} | Brier score | | {table.brier:.3f} | {table.base:.3f} |")
    return "\n".join(lines)


def show(bench: Bench, results: dict[str, list[Verdict]]) -> str:
    lines = []
    for title, verdicts in results.items():
        lines += [f"\n### {title}", "", "| workload | figure | median | each | target | |", "|" + "---|" * 6]
        for v in verdicts:
            each = ", ".join(f"{x:.3g}" for x in v.each) if len(v.each) > 1 else ""
            told = "met" if v.met else "NOT met"
            lines.append(f"| {v.case} | {v.what} | {v.value:.3g} | {each} | {v.bound:.3g} | {told} |")
    heads = "workload | policy | cold % | mean s | p95 | p99 | max | loads | prefetched | wasted | Jain"
    lines += ["\n### Outcomes", "", f"| {heads} |", "|" + "---|" * 11]
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
    if not arguments.only:
        print(calibration(bench))
    missed = [v for verdicts in results.values() for v in verdicts if not v.met]
    total = sum(map(len, results.values()))
    print(f"\n{len(missed)} of {total} targets not met; figures in {arguments.out.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The run as one JSON file and as tables; `python -m tests.bench.report FILE...` prints those of files."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.figures import Block, Results, Spread, disturbance, verdicts
from tests.bench.targets import PEERS

# Of each scenario the figures shown; of those the ones whose ratios to the peers are shown.
COLUMNS = {
    "small": ("cpu_ms", "rps", "p50_ms", "p99_ms"),
    "stream20": ("cpu_ms", "rps", "p50_ms", "p99_ms"),
    "ttft": ("added_ttft_p50_ms", "added_ttft_p99_ms", "ttft_p50_ms", "ttft_p99_ms"),
    "paced200": ("cpu_us_per_chunk", "share", "chunks_per_s", "forward_p50_ms", "forward_p99_ms"),
    "memory": ("kib_per_stream", "rss_before_mib"),
    "waiting": ("threads_added", "threads_before"),
    "slow_reader": ("grown_mib",),
    "drain": ("whole_share",),
}
RATIOS = {
    "small": ("cpu_ms", "rps"),
    "stream20": ("cpu_ms", "rps"),
    "ttft": ("added_ttft_p50_ms", "added_ttft_p99_ms"),
    "paced200": ("cpu_us_per_chunk",),
}


QUIET = 0.1  # of the core


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else ""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_1m": os.getloadavg()[0],
    }


def write_json(path: Path, about: dict[str, object], blocks: Sequence[Block]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    judged = [asdict(verdict) for verdict in verdicts(Results(blocks))]
    content = {"about": about, "blocks": [asdict(block) for block in blocks], "targets": judged}
    path.write_text(json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> list[Block]:
    return [Block(**block) for block in json.loads(path.read_text())["blocks"]]


def tables(blocks: Sequence[Block]) -> str:
    """Markdown: median [least-most] over the rounds."""
    results = Results(blocks)
    parts = [_scenario_table(results, scenario) for scenario in COLUMNS if _rows(results, scenario)]
    if any(block.target == "bridge" for block in blocks):
        parts.append(_verdict_table(results))
    if (others := disturbance(results)) is not None:
        parts.append(_caution(others))
    return "\n\n".join(parts)


def _caution(others: Spread) -> str:
    said = (
        f"Other programs took {others.median:.0%} [{others.low:.0%}-{others.high:.0%}] of the proxies' core."
    )
    if others.median <= QUIET:
        return said
    return f"{said} The machine is not quiet: of these figures only CPU and memory say something."


def _rows(results: Results, scenario: str) -> list[tuple[str, str]]:
    """Targets and routes measured, in the order of measuring."""
    return list(dict.fromkeys((b.target, b.route) for b in results.blocks if b.scenario == scenario))


def _scenario_table(results: Results, scenario: str) -> str:
    columns = COLUMNS[scenario]
    rows = _rows(results, scenario)
    measured = {target for target, _ in rows}
    ratios = [(figure, peer) for figure in RATIOS.get(scenario, ()) for peer in PEERS if peer in measured]
    lines = [[scenario, *columns, *[f"{figure} x {peer}" for figure, peer in ratios]]]
    for target, route in rows:
        figures = [results.spread(scenario, target, route, column) for column in columns]
        beside = [results.ratio(scenario, target, route, figure, peer) for figure, peer in ratios]
        lines.append([f"{target} {route}", *map(_cell, [*figures, *beside])])
    return markdown(lines)


def _verdict_table(results: Results) -> str:
    lines = [["target", "bound", "measured", ""]]
    marks = {True: "met", False: "NOT MET", None: ""}
    lines += [[v.what, v.bound, v.measured, marks[v.met]] for v in verdicts(results)]
    return markdown(lines)


def _cell(spread: Spread | None) -> str:
    return str(spread) if spread else "-"


def markdown(lines: Iterable[Sequence[str]]) -> str:
    """A table; the first line is its head."""
    rows = [list(line) for line in lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + " |" for r in rows
    )


if __name__ == "__main__":
    print(tables([block for name in sys.argv[1:] for block in read_json(Path(name))]))

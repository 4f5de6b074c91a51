"""`manage.py replay TRACE`: what each policy would have made of a trace, in simulated time."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduler.replay import picture, synthetic, table, whole
from scheduler.replay.fleet import BadFleet, Timing
from scheduler.replay.fleet import parse as parse_nodes
from scheduler.replay.outcome import Outcome, Record
from scheduler.replay.policies import POLICIES, PREDICTORS, Setting, UnknownPolicy, known, run
from scheduler.replay.source import trace_of
from scheduler.replay.trace import BadTrace, Trace, faster, write

DEFAULT_POLICIES = "ollama,seed,bridge,oracle"
POLICY_HELP = (
    f"again or by comma for several; {', '.join(POLICIES)}; "
    f"with another predictor bridge+NAME: {', '.join(PREDICTORS)}"
)


class Command(BaseCommand):
    help = "Replay a trace under one or more policies and compare them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "trace", help=f"CSV file, or a generated workload: {'|'.join(synthetic.WORKLOADS)}:SEED"
        )
        parser.add_argument("--policy", action="append", help=POLICY_HELP)
        parser.add_argument("--nodes", default="1x48", help="2x48 is two nodes of 48 GB; 1x24+1x80@4 mixes")
        parser.add_argument("--models", type=Path, help="CSV of model,size_gb; default: TRACE.models.csv")
        parser.add_argument(
            "--slots", type=int, default=Timing().slots, help="parallel generations of a resident"
        )
        parser.add_argument("--load-gbps", type=float, default=Timing().load_gbps, help="load speed in GB/s")
        parser.add_argument("--faster", type=float, default=1.0, help="divide all gaps by this")
        parser.add_argument("--hints", action="store_true", help="apps name their next model")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
        parser.add_argument(
            "--picture", type=Path, help="write an SVG timeline of the last policy's residents"
        )
        parser.add_argument(
            "--picture-from", type=float, default=0.0, help="seconds at which the picture begins"
        )
        parser.add_argument("--save", type=Path, help="write the (generated) trace as CSV and stop")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            for path in filter(None, (options["save"], options["picture"])):
                whole.writable(path)
            trace = _trace(options)
            if options["save"]:
                write(trace, options["save"])
                self.stdout.write(f"{len(trace)} requests written to {options['save']}.")
                return
            self._replay(trace, options)
        except (BadTrace, BadFleet, UnknownPolicy, whole.CannotWrite) as error:
            raise CommandError(str(error), returncode=2) from None

    def _replay(self, trace: Trace, options: dict[str, Any]) -> None:
        if trace.unsorted:
            self.stderr.write(f"{trace.unsorted} rows came before an earlier one; sorted by time.")
        names = [known(n.strip()) for n in ",".join(options["policy"] or [DEFAULT_POLICIES]).split(",")]
        setting = _setting(trace, options)
        outcomes = []
        with table.progress(len(names), len(trace), shown=not options["json"]) as begin:
            for name in names:
                outcome, record = run(name, replace(setting, progress=begin(name)))
                outcomes.append(outcome)
        if options["picture"]:
            self._draw(trace, record, outcome, setting, options)
        if options["json"]:
            objects = [o.as_json() for o in outcomes]
            self.stdout.write(json.dumps(objects[0] if len(objects) == 1 else {"policies": objects}))
        else:
            table.show(outcomes, f"{options['trace']}: {len(trace)} requests on {options['nodes']}")

    def _draw(
        self, trace: Trace, record: Record, outcome: Outcome, setting: Setting, options: dict[str, Any]
    ) -> None:
        title = f"{Path(options['trace']).name} on {options['nodes']}, policy {outcome.policy}"
        drawn = picture.svg(trace, record, setting.nodes(), options["picture_from"], title)
        whole.write(options["picture"], [drawn])


def _trace(options: dict[str, Any]) -> Trace:
    trace = trace_of(options["trace"], options["models"])
    if not options["faster"] > 0:
        raise BadTrace(f"--faster must be above 0, it is {options['faster']}.")
    return faster(trace, options["faster"]) if options["faster"] != 1 else trace


def _setting(trace: Trace, options: dict[str, Any]) -> Setting:
    if options["slots"] < 1 or not options["load_gbps"] > 0:
        raise BadFleet("--slots must be at least 1 and --load-gbps above 0.")
    timing = Timing(slots=options["slots"], load_gbps=options["load_gbps"])
    largest = max(n.vram_bytes for n in parse_nodes(options["nodes"], timing)) / 1e9
    for name, size in zip(trace.model_names, trace.sizes_gb, strict=True):
        if size > largest:
            raise BadFleet(
                f"model {name} has {size:g} GB and fits on no node: the largest has {largest:g} GB."
            )
    return Setting(
        trace=trace,
        nodes=lambda: parse_nodes(options["nodes"], timing),
        timing=timing,
        hints=options["hints"],
        picture=bool(options["picture"]),
    )

"""`manage.py plan TRACE`: which fleet would have served a trace well enough for the least money."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from scheduler.management.console import ConsoleCommand, show
from scheduler.models import GpuType
from scheduler.planning import carry, picture
from scheduler.planning.estimate import FIGURES, Estimate
from scheduler.planning.fleet import Kind
from scheduler.planning.pool import Failed
from scheduler.planning.question import USUAL_POLICY, USUAL_TARGET, Answer, BadQuestion, Question, answer
from scheduler.planning.search import Search, Target, all_met
from scheduler.planning.shown import progress
from scheduler.replay import whole
from scheduler.replay.fleet import Timing
from scheduler.replay.policies import POLICIES
from scheduler.replay.source import trace_of
from scheduler.replay.trace import BadTrace, Trace

COLUMNS = (
    *("", "FLEET", "POLICY", "$/MONTH", "COLD", "WAIT P50", "P95", "P99", "TTFT P50", "P95", "P99"),
    *("BUSY", "$/M TOKENS"),
)


class Command(ConsoleCommand):
    help = "Find the cheapest fleet that would have served a trace within a target, by replaying it."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("trace", nargs="?", help="as for replay: a CSV file, or KIND:SEED")
        parser.add_argument("--models", type=Path, help="CSV of model,size_gb; default: TRACE.models.csv")
        for figure in FIGURES:
            flag = "--" + figure.removesuffix("_s").replace("_", "-")
            told = f"most seconds of {figure[5:8]} {figure[:4]}"
            parser.add_argument(flag, dest=figure, type=seconds, metavar="S", help=told)
        parser.add_argument("--gpu", action="append", help="only this type; again for several")
        parser.add_argument("--policy", action="append", help=f"again to compare; {', '.join(POLICIES)}")
        parser.add_argument(
            "--pin", action="append", type=pin, metavar="MODEL[*N]", help="keep N replicas of it"
        )
        parser.add_argument("--most-nodes", type=int, default=16, help="of one fleet; 16")
        parser.add_argument("--slots", type=int, default=Timing().slots, help="of a resident; 4")
        parser.add_argument("--growth", type=float, default=1.0, help="so many times the users of the trace")
        parser.add_argument("--all", action="store_true", help="replay every fleet: slower, a whole frontier")
        parser.add_argument("--jobs", type=int, default=1, help="processes that replay at once; 1")
        parser.add_argument("--picture", type=Path, help="write the frontier as SVG")
        parser.add_argument(
            "--waiting", action="store_true", help="carry out what was asked for in the admin"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["waiting"]:
                carry.waiting()
            else:
                self._plan(options)
        except carry.Orphaned:
            return  # the row waits for whoever looks at its page next
        except (BadTrace, BadQuestion, whole.CannotWrite) as error:
            raise CommandError(str(error), returncode=2) from None
        except Failed as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped; nothing was written.", returncode=130) from None

    def _plan(self, options: dict[str, Any]) -> None:
        if not options["trace"]:
            raise BadQuestion(
                "Give a trace: `manage.py report trace -o FILE` writes one of your own traffic."
            )
        if not 1 <= options["jobs"] <= 4 * (os.cpu_count() or 1):
            raise BadQuestion("--jobs is from 1 to four for each processor.")
        if options["picture"]:
            whole.writable(options["picture"])
        trace = trace_of(options["trace"], options["models"])
        question = _question(options)
        with progress(shown=not options["json"]) as told:
            found = answer(question, trace, jobs=options["jobs"], told=told)
        if options["picture"]:
            title = f"{Path(options['trace']).name}: cost and waiting by fleet"
            whole.write(options["picture"], [picture.svg(found.search, title)])
        self._show(found, question, trace, options)

    def _show(self, found: Answer, question: Question, trace: Trace, options: dict[str, Any]) -> None:
        if options["json"]:
            facts = {"trace": options["trace"], "requests": len(trace), "doubts": list(found.doubts)}
            self.write_json(facts | question.as_json() | found.search.as_json())
            return
        fleets = sorted(found.search.found, key=lambda e: (e.usd_per_month, e.wait_p95_s))
        show(self.stdout, COLUMNS, [row(found.search, each) for each in fleets])
        for doubt in found.doubts:
            self.stderr.write(doubt)
        if found.search.best is not None:
            self.stdout.write(told_best(found.search.best, question))


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def pin(text: str) -> tuple[str, int]:
    """'qwen3:8b' or 'qwen3:8b*2'."""
    model, star, count = text.rpartition("*")
    if not star:
        return text, 1
    if not count.isdecimal() or not 1 <= int(count) <= 64 or not model:
        raise ArgumentTypeError(f"{text!r} is no pin; give MODEL or MODEL*2")
    return model, int(count)


def _question(options: dict[str, Any]) -> Question:
    targets = [Target(figure=f, seconds=options[f]) for f in FIGURES if options[f] is not None]
    return Question(
        kinds=tuple(kinds(options["gpu"])),
        targets=tuple(targets) or (USUAL_TARGET,),
        policies=tuple(options["policy"] or [USUAL_POLICY]),
        most_nodes=options["most_nodes"],
        slots=options["slots"],
        pins=tuple(options["pin"] or ()),
        growth=options["growth"],
        everything=options["all"],
    )


def kinds(names: list[str] | None) -> list[Kind]:
    """The rows of the operators' table: those named, or all that are enabled. Raises BadQuestion."""
    rows = GpuType.objects.filter(name__in=names) if names else GpuType.objects.enabled()
    if missing := set(names or ()) - {row.name for row in rows}:
        there = ", ".join(GpuType.objects.values_list("name", flat=True))
        raise BadQuestion(f"There is no GPU type {', '.join(sorted(missing))}; there are {there}.")
    return [Kind.of_json(row.as_json()) for row in rows]


def row(search: Search, e: Estimate) -> tuple[str, ...]:
    mark = "best" if e is search.best else "ok" if all_met(search.targets, e) else ""
    mark = f"{e.unserved} never served" if e.unserved else mark
    waits = (e.wait_p50_s, e.wait_p95_s, e.wait_p99_s, e.ttft_p50_s, e.ttft_p95_s, e.ttft_p99_s)
    return (
        mark,
        str(e.candidate.fleet),
        e.candidate.policy,
        f"{e.usd_per_month:,.0f}",
        f"{e.cold_share:.1%}",
        *(f"{w:.2f}" for w in waits),
        f"{e.utilisation:.0%}",
        f"{e.usd_per_mtok:.2f}",
    )


def told_best(best: Estimate, question: Question) -> str:
    targets = " and ".join(map(str, question.targets))
    return (
        f"{best.candidate.fleet} is the cheapest that keeps {targets}: ${best.usd_per_month:,.0f} a month, "
        f"busy {best.utilisation:.0%} of the time."
    )

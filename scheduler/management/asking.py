"""Commands that ask the scheduler for something: filed as a request, carried out by whoever leads."""

from __future__ import annotations

import getpass
import time
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from scheduler.management.console import ConsoleCommand
from scheduler.models import OperatorRequest
from scheduler.models.signals import operator_wrote

LOOK_S = 0.1  # between looks at what became of a request
NOT_IN_TIME = 3  # exit code


class AskCommand(ConsoleCommand):
    """Exit code 0: asked, or with --wait done; 1: refused; 2: bad input; 3: not carried out in time."""

    kind: str
    takes_model = True
    takes_node = "optional"  # optional or needed

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        if self.takes_model:
            parser.add_argument("model", help="A name of the catalogue, such as llama3.2.")
        if self.takes_node == "needed":
            parser.add_argument("node", help="A node's name; `manage.py nodes` lists them.")
        else:
            parser.add_argument("--node", default="", help="Only this node.")
        parser.add_argument("--wait", action="store_true", help="Wait until it is carried out.")
        parser.add_argument(
            "--timeout", type=float, default=600.0, metavar="S", help="Longest wait (default %(default)s)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        requests = [self.ask(**fields) for fields in self.wanted(options)]
        if options["wait"]:
            wait(requests, options["timeout"])
        if options["json"]:
            self.write_json([as_json(request) for request in requests])
        else:
            for request in requests:
                self.stdout.write(said(request))
        _exit(requests, waited=options["wait"])

    def wanted(self, options: dict[str, Any]) -> list[dict[str, str]]:
        """What to file: mostly one request."""
        return [{"model": options.get("model", ""), "node": options["node"]}]

    def ask(self, *, model: str, node: str) -> OperatorRequest:
        """File it in the name of the user of this machine. Raises CommandError with exit code 2."""
        by = f"{getpass.getuser()} (command line)"
        try:
            request = OperatorRequest.objects.ask(self.kind, node=node, model=model, asked_by=by)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=2) from error
        operator_wrote.send(
            sender=OperatorRequest,
            action=f"ask.{self.kind}",
            kind="request",
            target=str(request.pk),
            name=str(request),
            before=None,
            after={"model": request.model, "node": request.node, "asked_by": by},
        )
        return request


def wait(requests: Sequence[OperatorRequest], timeout_s: float) -> None:
    """Until all are carried out, or the time is over."""
    until = time.monotonic() + timeout_s
    while any(r.state == r.State.ASKED for r in requests) and time.monotonic() < until:
        time.sleep(LOOK_S)
        for request in requests:
            request.refresh_from_db()


def said(request: OperatorRequest) -> str:
    if request.state == request.State.ASKED:
        return f"Asked: {request} (request {request.pk})."
    return request.outcome


def as_json(request: OperatorRequest) -> dict[str, Any]:
    fields = ("kind", "model", "node", "state", "outcome", "asked_by", "at", "finished_at")
    return {"request": request.pk, **{name: getattr(request, name) for name in fields}}


def _exit(requests: Sequence[OperatorRequest], *, waited: bool) -> None:
    """Raise CommandError with the exit code that the outcome calls for."""
    refused = [r.outcome for r in requests if r.state == r.State.REFUSED]
    if refused:
        raise CommandError(" ".join(refused))
    if waited and any(r.state == r.State.ASKED for r in requests):
        raise CommandError(
            "Not carried out in time. It stays asked; does a scheduler run? `manage.py doctor` tells.",
            returncode=NOT_IN_TIME,
        )

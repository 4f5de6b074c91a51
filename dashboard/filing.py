"""Asking something of the scheduler, in somebody's name."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest

from bridge.models import Actor, AuditEvent
from scheduler.models import OperatorRequest


def file_request(request: HttpRequest, kind: str, node: str, model: str) -> OperatorRequest:
    """File it in the name of who is signed in, and in the audit log. Raises ValidationError."""
    actor = Actor.at_admin(request)
    about = "model" if model else "node"
    with transaction.atomic():
        asked = OperatorRequest.objects.ask(kind, node=node, model=model, asked_by=actor.name)
        AuditEvent.objects.record(
            actor,
            f"{about}.{kind}",
            kind=about,
            target=(model or node)[:64],
            name=model or node,
            after={"node": node, "model": model, "request": asked.pk},
        )
    return asked

"""Asking something of the scheduler or of the bridges, in somebody's name."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest

from bridge.models import Actor, AuditEvent
from scheduler.models import OperatorRequest


def file_request(
    request: HttpRequest, kind: str, node: str, model: str, *, request_id: str = ""
) -> OperatorRequest:
    """File it in the name of who is signed in, and in the audit log. Raises ValidationError."""
    actor = Actor.at_admin(request)
    about = "request" if request_id else "model" if model else "node"
    target = request_id or model or node
    with transaction.atomic():
        asked = OperatorRequest.objects.ask(
            kind, node=node, model=model, request_id=request_id, asked_by=actor.name
        )
        AuditEvent.objects.record(
            actor,
            f"{about}.{kind}",
            kind=about,
            target=target[:64],
            name=target,
            after={"node": node, "model": model, "request": asked.pk},
        )
    return asked

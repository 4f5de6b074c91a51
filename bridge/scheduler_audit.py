"""What operators write by the scheduler's commands, into the audit log: the scheduler itself keeps none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.dispatch import receiver

from scheduler.models.signals import operator_wrote


@receiver(operator_wrote)
def record(
    sender: object,
    *,
    action: str,
    kind: str,
    target: str,
    name: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    **kwargs: object,
) -> None:
    from bridge.models import Actor, AuditEvent  # models are loaded after this module

    AuditEvent.objects.record(
        Actor.at_shell(), action, kind=kind, target=target[:64], name=name, before=before, after=after
    )

"""The bridge's rows: keys, usage and the audit log."""

from __future__ import annotations

from bridge.models.audit import Actor, AuditEvent, Source
from bridge.models.keys import KEYS, ApiKey, KeyRefused, Priority, Scope, State
from bridge.models.usage import BadLine, Outcome, UsageRecord

__all__ = [
    "KEYS",
    "Actor",
    "ApiKey",
    "AuditEvent",
    "BadLine",
    "KeyRefused",
    "Outcome",
    "Priority",
    "Scope",
    "Source",
    "State",
    "UsageRecord",
]

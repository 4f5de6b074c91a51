"""The bridge's rows: keys, usage, the audit log, and the revision counters that tell readers to reload."""

from __future__ import annotations

from bridge.models.audit import Actor, AuditEvent, Source
from bridge.models.keys import ApiKey, KeyRefused, Priority, Scope, State
from bridge.models.revision import Revision
from bridge.models.usage import BadLine, Outcome, UsageRecord

__all__ = [
    "Actor",
    "ApiKey",
    "AuditEvent",
    "BadLine",
    "KeyRefused",
    "Outcome",
    "Priority",
    "Revision",
    "Scope",
    "Source",
    "State",
    "UsageRecord",
]

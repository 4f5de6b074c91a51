"""The bridge's rows: keys, teams, usage, what it adds up to, and the audit log."""

from __future__ import annotations

from bridge.models.audit import Actor, AuditEvent, Source
from bridge.models.keys import KEYS, ApiKey, KeyRefused, Priority, Scope, State
from bridge.models.rollups import (
    CostHour,
    CostRollup,
    Mark,
    ModelGaps,
    RefusalRollup,
    UsageRollup,
    VramRollup,
)
from bridge.models.teams import Team
from bridge.models.usage import BadLine, Outcome, UsageRecord

__all__ = [
    "KEYS",
    "Actor",
    "ApiKey",
    "AuditEvent",
    "BadLine",
    "CostHour",
    "CostRollup",
    "KeyRefused",
    "Mark",
    "ModelGaps",
    "Outcome",
    "Priority",
    "RefusalRollup",
    "Scope",
    "Source",
    "State",
    "Team",
    "UsageRecord",
    "UsageRollup",
    "VramRollup",
]

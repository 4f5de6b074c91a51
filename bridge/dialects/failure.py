"""Why a request failed, before any dialect gives it a shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What the client is told: what happened, why, and what to do."""

    status: int  # HTTP status
    message: str
    kind: str  # the bridge's reason in one word, such as "queue_full"
    source: Literal["bridge", "node"] = "bridge"  # who failed
    retry_after_s: int | None = None
    should_retry: bool | None = None  # overrules what official clients decide from the status
    param: str | None = None  # the field at fault
    code: str | None = None  # `kind` where this is None

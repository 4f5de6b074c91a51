"""The catalogue, kept equal to what the nodes hold."""

from __future__ import annotations

from scheduler.catalogue.report import NodeSync, SyncReport
from scheduler.catalogue.sync import follow, sync

__all__ = ["NodeSync", "SyncReport", "follow", "sync"]

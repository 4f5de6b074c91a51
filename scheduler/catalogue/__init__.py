"""The catalogue, kept equal to what the nodes hold."""

from __future__ import annotations

from scheduler.catalogue.report import NodeSync, SyncReport
from scheduler.catalogue.sync import sync

__all__ = ["NodeSync", "SyncReport", "sync"]

"""What operators see and change in the admin, one module for each kind of row."""

from __future__ import annotations

from dashboard.admin import audit, keys, people, usage

__all__ = ["audit", "keys", "people", "usage"]

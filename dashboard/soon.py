from __future__ import annotations

from datetime import timedelta

SOON = timedelta(days=14)  # how long before its end a key is spoken of

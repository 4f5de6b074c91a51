"""The two databases: SQLite in WAL mode for one process, PostgreSQL with a pool for a fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from bridge.env import BadSetting

WAL = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; "
    "PRAGMA mmap_size=134217728; PRAGMA journal_size_limit=27103364; PRAGMA cache_size=2000;"
)


def sqlite(path: Path) -> dict[str, Any]:
    """IMMEDIATE transactions: a writer waits for its turn at the start instead of failing in the middle."""
    return {
        "ENGINE": "django_prometheus.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 10, "init_command": WAL},
    }


def postgresql(url: str) -> dict[str, Any]:
    """A pool per process: workers times its max_size must stay below the server's max_connections."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/"):
        raise BadSetting("DATABASE_URL takes postgresql://user:password@host:5432/name.")
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django_prometheus.db.backends.postgresql",
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": options.pop("port", str(parts.port or "")),
        "CONN_MAX_AGE": 0,  # the pool keeps connections; anything else leaks them under ASGI
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**options, "pool": {"min_size": 2, "max_size": 10, "timeout": 5}},
    }

"""Secrets that nobody was asked for: made once, kept in the data directory, readable by the owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def kept(data_dir: Path, name: str) -> str:
    """The secret of this name, made on first use. Two processes that race agree on one value."""
    path = data_dir / name
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(fresh, path)  # fails where another process was first, and then its value holds
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text(encoding="utf-8").strip()

"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path


class CannotWrite(ValueError):
    """A file cannot be written; the message says where and why."""


def writable(path: Path) -> Path:
    """The path, when a file can be made there: asked before the work begins. Raises CannotWrite."""
    if path.is_dir():
        raise CannotWrite(f"{path} cannot be written: it is a directory.")
    if not path.parent.is_dir():
        raise CannotWrite(f"{path} cannot be written: there is no directory {path.parent}.")
    if not os.access(path.parent, os.W_OK):
        raise CannotWrite(f"{path} cannot be written: {path.parent} does not allow it.")
    return path


def write(path: Path, parts: Iterable[str]) -> None:
    """Write beside its place under another name, then rename. Raises CannotWrite."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("x", encoding="utf-8", newline="") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        beside.unlink(missing_ok=True)

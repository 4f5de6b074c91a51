"""Files that are there whole or not at all: written beside their place under another name, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def whole(*paths: Path) -> Iterator[list[TextIO]]:
    """Files to write. At the end of the block all take their places, the first one last: whoever sees it
    finds the others beside it. After an error none of them is touched. Raises OSError."""
    with ExitStack() as stack:
        files = [stack.enter_context(_temporary(path)) for path in paths]
        yield files
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        for file, path in reversed(list(zip(files, paths, strict=True))):
            Path(file.name).replace(path)


@contextmanager
def _temporary(path: Path) -> Iterator[TextIO]:
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", encoding="utf-8", newline="", delete=False
    ) as file:
        try:
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            yield file  # type: ignore[misc]
        finally:
            Path(file.name).unlink(missing_ok=True)


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask

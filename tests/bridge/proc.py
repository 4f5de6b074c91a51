"""What the kernel says about a process: threads, open files, memory, connections."""

from __future__ import annotations

import os
import re
from pathlib import Path


def _status(pid: int, field: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    found = re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE)
    assert found is not None, f"/proc/{pid}/status has no {field}"
    return int(found[1])


def threads(pid: int) -> int:
    return _status(pid, "Threads")


def resident_mib(pid: int) -> float:
    return _status(pid, "VmRSS") / 1024


def sockets(pid: int) -> int:
    """Open sockets."""
    return sum(target.startswith("socket:") for target in _targets(pid))


def open_files(pid: int) -> int:
    """Open descriptors, but for those of the database and the outbox, which come and go with the writer."""
    return sum(not re.search(r"\.sqlite3|/outbox/", target) for target in _targets(pid))


def _targets(pid: int) -> list[str]:
    targets = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            targets.append(os.readlink(entry))
        except FileNotFoundError:  # closed since it was listed
            continue
    return targets

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


def open_files(pid: int) -> int:
    """Open descriptors, but for those of the database and the outbox, which come and go with the writer."""
    return sum(re.search(r"\.sqlite3|/outbox/", target) is None for target in _targets(pid))


def _targets(pid: int) -> list[str]:
    targets = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            targets.append(os.readlink(entry))
        except FileNotFoundError:  # closed since it was listed
            continue
    return targets


def connections(pid: int, port: int) -> int:
    """TCP connections of the process to a port of this machine."""
    inodes = {target.removeprefix("socket:[").rstrip("]") for target in _targets(pid)}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return sum(row[9] in inodes and int(row[2].partition(":")[2], 16) == port for row in rows)

"""The process that carries plans out: at most one of this server's, and the rows allow one in a fleet."""

from __future__ import annotations

import subprocess
import sys
import threading

from django.conf import settings

COMMAND = ("manage.py", "plan", "--waiting")

_lock = threading.Lock()
_child: subprocess.Popen[bytes] | None = None


def launch() -> None:
    """Begin to carry out what waits, unless a process of ours is at it. It ends by itself when nothing waits,
    and with this server."""
    global _child
    with _lock:
        if _child is not None and _child.poll() is None:
            return
        _child = subprocess.Popen(
            [sys.executable, *COMMAND],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        threading.Thread(target=_child.wait, name="plan-reaper", daemon=True).start()

"""Virtual environments of the peers: made on first use, never part of the bridge's requirements."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def virtual_environment(name: str, *requirements: str, locked: Path | None = None) -> Path:
    """The folder of its programs; `locked` is a hash-checked file that is installed first."""
    folder = ROOT / name
    stamp = folder / ".installed"
    wanted = "\n".join([*requirements, locked.read_text() if locked else ""])
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing {', '.join(requirements)} in {name} (a minute or two, once) ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        if locked:
            subprocess.run([*pip, "--require-hashes", "-r", str(locked)], check=True)
        subprocess.run([*pip, *requirements], check=True)
        stamp.write_text(wanted)
    return folder / "bin"


def parts_environment() -> Path:
    """What the bridge runs on, and the clients and servers that it is compared with."""
    locked = ROOT / "requirements" / "base.txt"
    return virtual_environment(".venv-parts", "granian==2.8.7", "aiohttp==3.14.5", locked=locked)

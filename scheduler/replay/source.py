"""Where a trace comes from: a file, or a generator with its seed."""

from __future__ import annotations

from pathlib import Path

from scheduler.replay import synthetic
from scheduler.replay.trace import BadTrace, Trace, read


def trace_of(words: str, models_path: Path | None = None) -> Trace:
    """The trace in the file `words`, or generated from KIND:SEED. Raises BadTrace."""
    kind, _, seed = words.partition(":")
    if kind not in synthetic.WORKLOADS or Path(words).exists():
        return read(Path(words), models_path)
    if not (seed.isdecimal() and seed.isascii() and len(seed) < 20):
        raise BadTrace(f"{words}: give a whole number as the seed, as in {kind}:1.")
    return synthetic.WORKLOADS[kind](int(seed))

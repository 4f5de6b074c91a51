from __future__ import annotations

import re

NUMBERS = re.compile(r"\d+")
LLAMA_SERVER = (0, 30, 0)
UNRELEASED = (0, 0, 0)  # what a node says that was built from source


def version_tuple(text: str) -> tuple[int, int, int]:
    """(0, 33, 0) from '0.33.0-rc2'; UNRELEASED when there is no number."""
    numbers = [int(n) for n in NUMBERS.findall(text.partition("-")[0])][:3]
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major, minor, patch


def runs_llama_server(text: str) -> bool:
    """Whether each model runs in a llama-server of its own: Ollama 0.30 and later, and source builds.

    Older nodes have runners of their own, which count quantised KV cells and prompt tokens differently.
    """
    version = version_tuple(text)
    return version == UNRELEASED or version >= LLAMA_SERVER

from __future__ import annotations

import pytest

from scheduler.nodes.version import runs_llama_server, version_tuple


@pytest.mark.parametrize(
    ("text", "version", "llama_server"),
    [
        ("0.33.0-rc2", (0, 33, 0), True),
        ("0.30.0", (0, 30, 0), True),
        ("0.24", (0, 24, 0), False),
        ("0.9.6", (0, 9, 6), False),
        ("0.0.0", (0, 0, 0), True),
        ("1.0", (1, 0, 0), True),
        ("built here", (0, 0, 0), True),
    ],
)
def test_a_version_tells_the_generation(text: str, version: tuple[int, int, int], llama_server: bool) -> None:
    assert version_tuple(text) == version
    assert runs_llama_server(text) is llama_server

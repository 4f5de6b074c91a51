from __future__ import annotations

import pytest

from scheduler.nodes.errors import ModelMissing, NodeBusy, NodeError, OutOfMemory, node_error


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (503, "server busy, please try again.  maximum pending requests exceeded", NodeBusy),
        (404, "model 'x' not found", ModelMissing),
        (500, "llama-server process has terminated: cudaMalloc failed: out of memory", OutOfMemory),
        (500, "model requires more system memory (9.9 GiB) than is available (4.0 GiB)", OutOfMemory),
        (500, "ggml_vulkan: Device memory allocation failed: ErrorOutOfDeviceMemory", OutOfMemory),
        (500, "failed to allocate CUDA0 buffer of size 1", OutOfMemory),
        (500, "llama-server process has terminated: exit status 2", NodeError),
        (400, '"x" does not support generate', NodeError),
        (500, "", NodeError),
    ],
)
def test_an_error_answer_is_told_by_status_and_text(status: int, text: str, kind: type[NodeError]) -> None:
    error = node_error("a", status, text)
    assert type(error) is kind
    assert str(error).startswith(f"node a: {status} ")


def test_a_long_text_is_cut() -> None:
    assert len(node_error("a", 500, "x" * 100_000).text) == 2000

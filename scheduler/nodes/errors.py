"""What can go wrong with a call to a node.

NodeFailure
├── NodeDown        no connection, or it broke
├── NodeTimeout     connected, and silent past the deadline
├── NodeGarbage     an answer that is not Ollama's
└── NodeError       an answer with an error status
    ├── NodeBusy        503: its queue is full
    ├── ModelMissing    404
    └── OutOfMemory     the text says that memory was not enough
"""

from __future__ import annotations

import re
from typing import ClassVar

# What llama-server and CUDA say; Ollama matches the like itself (llm/status.go).
MEMORY_WORDS = re.compile(
    r"out of (?:device )?memory|outof(?:device)?memory|cudamalloc failed|(?:failed|unable) to allocate"
    r"|cannot allocate memory|requires more system memory|insufficient memory"
    r"|not enough (?:gpu |video )?memory",
    re.IGNORECASE,
)
LONGEST_TEXT = 2000  # characters of a node's error that are kept


class NodeFailure(Exception):
    """A call to a node did not do what was asked."""

    kind: ClassVar[str] = "failure"  # for metrics and the ledger

    def __init__(self, node: str, text: str) -> None:
        super().__init__(f"node {node}: {text}")
        self.node = node
        self.text = text


class NodeDown(NodeFailure):
    kind = "down"


class NodeTimeout(NodeFailure):
    kind = "timeout"


class NodeGarbage(NodeFailure):
    kind = "garbage"


class NodeError(NodeFailure):
    kind = "error"

    def __init__(self, node: str, status: int, text: str) -> None:
        super().__init__(node, f"{status} {text}")
        self.status = status
        self.text = text


class NodeBusy(NodeError):
    kind = "busy"


class ModelMissing(NodeError):
    kind = "missing"


class OutOfMemory(NodeError):
    kind = "out_of_memory"


def node_error(node: str, status: int, text: str) -> NodeError:
    """The fitting NodeError for an error answer."""
    text = text.strip()[:LONGEST_TEXT] or "no text"
    if status == 503:
        return NodeBusy(node, status, text)
    if status == 404:
        return ModelMissing(node, status, text)
    if MEMORY_WORDS.search(text):
        return OutOfMemory(node, status, text)
    return NodeError(node, status, text)

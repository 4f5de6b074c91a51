"""Control calls to Ollama nodes. Only the scheduler makes them; requests of clients go another way."""

from __future__ import annotations

from scheduler.nodes.client import KeepAlive, Loaded, NodeClient, Probed
from scheduler.nodes.errors import (
    ModelMissing,
    NodeBusy,
    NodeDown,
    NodeError,
    NodeFailure,
    NodeGarbage,
    NodeTimeout,
    OutOfMemory,
)
from scheduler.nodes.replies import RunningModel, ShownModel, TaggedModel

__all__ = [
    "KeepAlive",
    "Loaded",
    "ModelMissing",
    "NodeBusy",
    "NodeClient",
    "NodeDown",
    "NodeError",
    "NodeFailure",
    "NodeGarbage",
    "NodeTimeout",
    "OutOfMemory",
    "Probed",
    "RunningModel",
    "ShownModel",
    "TaggedModel",
]

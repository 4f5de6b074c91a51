from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scheduler.nodes import RunningModel


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSync:
    """What the look at one node brought."""

    node: str
    version: str = ""
    error: str = ""  # why it could not be read; its models stay as they were
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()  # another digest than before, or metadata that was missing
    removed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()  # models whose /api/show failed
    running: tuple[RunningModel, ...] | None = None  # None: /api/ps gave no answer

    @property
    def moved(self) -> bool:
        return bool(self.added or self.changed or self.removed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    nodes: tuple[NodeSync, ...]
    forgotten: tuple[str, ...]  # models that no node holds any more and that no operator had touched
    drift: Mapping[str, Mapping[str, str]]  # model -> node -> digest, where nodes differ
    shadowed: tuple[str, ...]  # aliases that a model of the same name has put out of force
    seconds: float

    @property
    def moved(self) -> bool:
        return bool(self.forgotten) or any(node.moved for node in self.nodes)

    @property
    def failed(self) -> list[str]:
        return [node.node for node in self.nodes if node.error]

    def as_json(self) -> dict[str, Any]:
        """For --json; what runs on the nodes is `ps`'s business."""
        nodes = [{k: v for k, v in asdict(node).items() if k != "running"} for node in self.nodes]
        return {**asdict(self), "nodes": nodes, "moved": self.moved}

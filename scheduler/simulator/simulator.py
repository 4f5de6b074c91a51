"""What the HTTP routes share: the node and its driver, the faults, the store and the counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.simulator.decode import BadRequest
from scheduler.simulator.driver import Driver
from scheduler.simulator.faults import Switchboard
from scheduler.simulator.generation import Generation
from scheduler.simulator.installed import InstalledModel, normalised, valid_name
from scheduler.simulator.node import Node


class CloudRefusal(BadRequest):
    """A cloud name: its errors have the native shape on /v1 too."""


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What the HTTP side saw."""

    routes: Counter[str] = field(default_factory=Counter)  # by "METHOD path"
    with_authorization: int = 0
    cloud_forwards: int = 0
    streams_cut: int = 0  # clients that left before the last byte


@dataclass(slots=True, kw_only=True)
class Behaviour:
    """Settings of the HTTP side."""

    answer_tokens: int = 24  # of an answer that num_predict does not bound
    no_cloud: bool = False  # OLLAMA_NO_CLOUD
    local_only: bool = True  # bound to loopback: foreign Host headers are refused
    pull_bytes_per_s: float = 1e9
    registry: Mapping[str, InstalledModel] = field(default_factory=dict)  # what /api/pull can get


class Simulator:
    """One simulated node with everything around it."""

    def __init__(self, driver: Driver, board: Switchboard, behaviour: Behaviour) -> None:
        self.driver = driver
        self.board = board
        self.behaviour = behaviour
        self.traffic = Traffic()
        self.blobs: dict[str, int] = {}  # uploaded blobs: digest to bytes

    @property
    def node(self) -> Node:
        return self.driver.node

    @property
    def generation(self) -> Generation:
        return self.node.config.generation

    def find(self, name: str) -> InstalledModel | None:
        """An installed model by the name a client gave; letter case does not matter, as in Ollama."""
        found = self.node.models.get(normalised(name))
        if found is None:
            lowered = normalised(name).lower()
            found = next((m for key, m in self.node.models.items() if key.lower() == lowered), None)
        return found

    def local_name(
        self, name: str, missing: BadRequest, unavailable: str = "remote model is unavailable"
    ) -> str:
        """The name without `:local`. Raises `missing` for no name, and BadRequest for bad or cloud ones."""
        if not name:
            raise missing
        if name.lower().endswith(":local"):
            name = name[: -len(":local")]
        if is_cloud(name):
            raise self._cloud_refusal(unavailable)
        if not valid_name(name):
            raise BadRequest(400, "invalid model name")
        return name

    def _cloud_refusal(self, unavailable: str) -> BadRequest:
        """A real node would forward the request to ollama.com; this one only counts that it would."""
        if self.behaviour.no_cloud:
            return CloudRefusal(403, f"ollama cloud is disabled: {unavailable}")
        self.traffic.cloud_forwards += 1
        return CloudRefusal(401, "unauthorized")


def is_cloud(name: str) -> bool:
    tag = name.rpartition(":")[2].lower() if ":" in name else ""
    return tag == "cloud" or (tag.endswith("-cloud") and "/" not in tag)

"""One look at a State: the same facts indexed by node and by model, and what this round has already taken."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.policy import packing, pins
from scheduler.policy.config import Config
from scheduler.policy.decisions import Decision, Drain, Evict, Load
from scheduler.policy.state import Line, Model, Node, Resident, State

NOBODY: list[Resident] = []


class View:
    """Made once per decision. It never changes the State; `commit` notes what the round has decided."""

    def __init__(self, state: State, now: float, config: Config) -> None:
        self.state, self.now, self.config = state, now, config
        self.by_node: dict[str, list[Resident]] = {}
        self.by_model: dict[str, list[Resident]] = {}
        self.reserved: dict[str, str] = {}  # node: the model for which a resident of it drains
        self.loading: dict[str, list[Node]] = {}  # model: nodes that load it now
        self.taken: set[str] = set()  # nodes that have an action, running or decided
        self.drained: set[tuple[str, str]] = set()  # (node, model) that begin to drain in this round
        self._pinned: set[tuple[str, str]] | None = None
        self._free: dict[str, int] = {}
        for resident in state.residents.values():
            self.by_node.setdefault(resident.node, []).append(resident)
            self.by_model.setdefault(resident.model, []).append(resident)
            if resident.wanted_by is not None and self._healthy(resident.node):
                self.reserved[resident.node] = resident.wanted_by
        for node in state.nodes.values():
            if node.busy_with is not None:
                self.taken.add(node.name)
                if node.busy_with.kind == "load":
                    self.loading.setdefault(node.busy_with.model, []).append(node)

    def on(self, node: str) -> list[Resident]:
        return self.by_node.get(node, NOBODY)

    def of(self, model: str) -> list[Resident]:
        """Residents of a model on nodes that answer."""
        return [r for r in self.by_model.get(model, NOBODY) if self._healthy(r.node)]

    def _healthy(self, node: str) -> bool:
        return node in self.state.nodes and self.state.nodes[node].healthy

    def free(self, node: Node) -> int:
        """Bytes of the node that nothing holds."""
        if node.name not in self._free:
            self._free[node.name] = packing.free(node, self.on(node.name), self.config)
        return self._free[node.name]

    def pinned(self) -> set[tuple[str, str]]:
        """(node, model) of the residents that pins protect."""
        if self._pinned is None:
            self._pinned = pins.protected(self.state.pins, self.by_model)
        return self._pinned

    def can_act(self, node: Node) -> bool:
        """Whether the node may be given an action in this round."""
        return node.healthy and node.name not in self.taken

    def may_load(self, node: Node, model: Model) -> bool:
        """Whether this node may be given this model now, room aside."""
        return (
            self.can_act(node)
            and not node.draining
            and node.quarantined_until <= self.now
            and node.name in model.digests
            and (node.name, model.name) not in self.state.residents
            and self.reserved.get(node.name, model.name) == model.name
            and self.state.stats.failures.get((node.name, model.name), 0.0) <= self.now
        )

    def holders(self, model: Model) -> list[Node]:
        """Nodes that answer and have the model on disk."""
        return [self.state.nodes[name] for name in model.digests if self._healthy(name)]

    def load_s(self, node: Node, model: Model) -> float:
        """Predicted seconds of a load: measured there before, or bytes over the node's speed."""
        measured = self.state.stats.load_s.get((node.name, model.name))
        if measured is not None:
            return measured
        return node.load_overhead_s + model.weights_bytes / (node.load_gbps * 1e9)

    def service_s(self, model: str) -> float:
        return self.state.stats.service_s.get(model, self.config.service_s)

    def repeats(self, decision: Decision) -> bool:
        """Whether it drains what this round drains already."""
        return isinstance(decision, Drain) and (decision.node, decision.model) in self.drained

    def commit(self, decision: Decision) -> Decision:
        """Note what a decision takes, so that the rest of the round plans around it."""
        if isinstance(decision, Load):
            self.taken.add(decision.node)
            self.loading.setdefault(decision.model, []).append(self.state.nodes[decision.node])
        elif isinstance(decision, Evict):
            self.taken.add(decision.node)
        elif isinstance(decision, Drain):
            self.drained.add((decision.node, decision.model))
            if decision.wanted_by:
                self.reserved[decision.node] = decision.wanted_by
        return decision


def oldest_first(lines: Iterable[Line], priority_s: float) -> list[Line]:
    """Lines in the order in which they are helped: a class of priority counts as `priority_s` of waiting."""
    return sorted(lines, key=lambda line: (line.since - priority_s * line.priority, line.model))

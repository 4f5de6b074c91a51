"""Loads that failed: when each may be tried again, and which lines have nobody left to wait for.

One failure is tried again at once; from the second on (node, model) is left alone for a time that doubles.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.board.interface import Reason
from scheduler.policy.state import Model, Node, State
from scheduler.residency.pace import Pace, doubled

PATIENCE = 1  # failures in a row that are simply tried again


@dataclass(slots=True)
class Failure:
    count: int
    at: float
    until: float
    detail: str  # a sentence with the numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopeless:
    """A line that no node may load for now."""

    model: str
    num_ctx_over: int  # those who asked for more context than this; -1: all
    reason: Reason  # load_failed or draining
    detail: str


class Failures:
    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._by: dict[tuple[str, str], Failure] = {}

    def note(self, node: str, model: str, detail: str, now: float) -> Failure:
        """Count one more."""
        before = self._by.get((node, model))
        count = before.count + 1 if before else 1
        pause = doubled(self._pace.failure_s, self._pace.failure_most_s, count - PATIENCE - 1)
        self._by[node, model] = Failure(count, now, now + (pause if count > PATIENCE else 0.0), detail)
        return self._by[node, model]

    def block(self, node: str, model: str, detail: str, now: float) -> None:
        """No second try: what failed would fail again."""
        self.note(node, model, detail, now)
        if self._by[node, model].count <= PATIENCE:
            self.note(node, model, detail, now)

    def clear(self, node: str, model: str | None = None) -> None:
        """It succeeded, or (None) the node was started anew."""
        self._by = {key: f for key, f in self._by.items() if key[0] != node or model not in (None, key[1])}

    def until(self) -> dict[tuple[str, str], float]:
        """For policy.Stats.failures."""
        return {key: failure.until for key, failure in self._by.items()}

    def detail(self, node: str, model: str) -> str:
        failure = self._by.get((node, model))
        return failure.detail if failure else ""

    def forget(self, now: float) -> None:
        """Those whose pause ended long ago start from one again."""
        most = self._pace.failure_most_s
        self._by = {key: f for key, f in self._by.items() if now - f.at < 2 * most}

    def hopeless(self, state: State, now: float) -> list[Hopeless]:
        """Lines without a resident that serves them, where every node that has the model may not load it."""
        found = []
        for line in state.lines.values():
            model = state.models.get(line.model)
            if model is None or _served(state, line.model, line.num_ctx):
                continue
            holders = [state.nodes[n] for n in model.digests if n in state.nodes and state.nodes[n].healthy]
            obstacles = [self._obstacle(node, model, now) for node in holders]
            if holders and all(obstacles):
                found.append(
                    Hopeless(
                        model=model.name,
                        num_ctx_over=_largest_resident(state, model.name),
                        reason="draining" if all(node.draining for node in holders) else "load_failed",
                        detail=" ".join(dict.fromkeys(obstacles)),
                    )
                )
        return found

    def _obstacle(self, node: Node, model: Model, now: float) -> str:
        """Why this node may not load the model; empty when it may."""
        failure = self._by.get((node.name, model.name))
        if failure is not None and failure.until > now:
            return f"{failure.detail} It is tried again in {failure.until - now:.0f} s."
        if node.quarantined_until > now:
            return (
                f"Loads on {node.name} hang; it is looked at again in {node.quarantined_until - now:.0f} s."
            )
        if node.draining:
            return f"{node.name} is being emptied by an operator."
        return ""


def _largest_resident(state: State, model: str) -> int:
    """Tokens of context that an accepting resident serves; -1 where there is none."""
    return max(
        (r.profile.num_ctx for r in state.residents.values() if r.model == model and r.accepting), default=-1
    )


def _served(state: State, model: str, num_ctx: int) -> bool:
    """Whether a resident serves the line, or a load under way will."""
    doing = (node.busy_with for node in state.nodes.values())
    loading = any(a is not None and a.kind == "load" and a.model == model for a in doing)
    return loading or _largest_resident(state, model) >= num_ctx

"""What agents are told: which models their hosts will load soon, so that the files lie in memory by then."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.gpus import GpusUnreadable
from scheduler.policy.prefetch import Predictor
from scheduler.policy.state import State
from scheduler.residency.ahead import Ahead
from scheduler.residency.fleet import Fleet
from scheduler.residency.source import Source

HORIZON_S = 600.0  # a file may be read long before its load: it costs no VRAM
LEAST_CHANCE = 0.01
MOST = 32  # models in a list
STEPS = 3


class Likely:
    """Keeps agents informed. Owned by the event loop of the leader."""

    def __init__(self, fleet: Fleet, source: Source, ahead: Ahead) -> None:
        self._fleet = fleet
        self._source = source
        self._ahead = ahead
        self._next: dict[str, float] = {}  # by agent: not before
        self.silent: set[str] = set()  # agents that took no list the last time

    async def tell(self) -> None:
        """Send each agent its list, where it is due."""
        now, state = self._fleet.clock(), self._fleet.state(())
        agents: dict[str, set[str]] = {}
        for row in self._fleet.rows.nodes.values():
            if row.agent_url:
                agents.setdefault(row.agent_url, set()).add(row.name)
        self._next = {url: at for url, at in self._next.items() if url in agents}
        due = [url for url in agents if now >= self._next.get(url, 0.0)]
        chances = likely(self._ahead.foresight.predictor, now) if due else {}
        for url in due:
            await self._tell(url, listed(state, agents[url], chances), now)

    async def _tell(self, url: str, models: list[str], now: float) -> None:
        pace = self._fleet.pace
        try:
            has_memory = await self._source.tell_likely(url, models) > 0
            self.silent.discard(url)
        except GpusUnreadable:  # it is said where its GPUs are read; one of an older version takes no list
            has_memory = False
            self.silent.add(url)
        self._next[url] = now + (pace.likely_s if has_memory else pace.idle_agent_s)


def likely(predictor: Predictor, now: float) -> Mapping[str, float]:
    return predictor.chances(now, HORIZON_S, STEPS)


def listed(state: State, nodes: set[str], chances: Mapping[str, float]) -> list[str]:
    """Models that these nodes have on disk and not in VRAM, the most likely first."""
    found = [
        (chance, model)
        for model, chance in chances.items()
        if chance >= LEAST_CHANCE
        and (known := state.models.get(model)) is not None
        and any(node in known.digests and (node, model) not in state.residents for node in nodes)
    ]
    return [model for _, model in sorted(found, key=lambda each: (-each[0], each[1]))[:MOST]]

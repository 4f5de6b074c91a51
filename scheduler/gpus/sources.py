from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from scheduler.gpus.gpu import MOST_GPUS, Gpu, GpusUnreadable
from scheduler.gpus.reader import GpuReader
from scheduler.models import Access, Node
from scheduler.nodes import NodeFailure
from scheduler.nodes.exchange import Exchange

log = logging.getLogger(__name__)

AGENT_S = 3.0


class GpuSources:
    """Where the readings of each node come from.

    1. The node names an agent: the agent is asked.
    2. The node is on this machine: NVML here.
    3. Otherwise nobody knows, and /api/ps has to do.
    """

    def __init__(self, local: GpuReader, *, token: str) -> None:
        self._local = local
        self._token = token
        self._agents: dict[str, Exchange] = {}
        self._failing: set[str] = set()

    async def read_all(self, nodes: Sequence[Node]) -> dict[str, tuple[Gpu, ...]]:
        """Readings by node name, all nodes at once; without those that gave none, which is said once each."""
        await self._forget({node.agent_url for node in nodes})
        results = await asyncio.gather(*(self._try(node) for node in nodes))
        return {node.name: gpus for node, gpus in zip(nodes, results, strict=True) if gpus}

    async def read(self, node: Node) -> tuple[Gpu, ...]:
        """Raises GpusUnreadable."""
        if node.agent_url:
            gpus = tuple(await self._from_agent(node))
        elif on_this_machine(node.url):
            gpus = await self._local.read()
        else:
            return ()
        return tuple(gpu for gpu in gpus if not node.gpu_uuids or gpu.uuid in node.gpu_uuids)

    async def tell_likely(self, url: str, models: Sequence[str]) -> int:
        """Tell an agent which models are likely, the most likely first; the bytes of memory that it may fill
        with them. Raises GpusUnreadable."""
        try:
            reply = await self._agent(url, url).json(
                "PUT", "/likely", {"models": list(models)}, deadline_s=AGENT_S
            )
            return int(reply["budget_bytes"])
        except NodeFailure as failure:
            raise GpusUnreadable(f"the agent at {url}: {failure.text}") from None
        except (KeyError, TypeError, ValueError) as error:
            raise GpusUnreadable(f"the agent at {url} answered what is no budget: {error}") from None

    async def aclose(self) -> None:
        await self._forget(set())

    async def _try(self, node: Node) -> tuple[Gpu, ...]:
        try:
            gpus = await self.read(node)
        except GpusUnreadable as error:
            if node.name not in self._failing:
                log.warning("The GPUs of node %s cannot be read: %s", node.name, error)
            self._failing.add(node.name)
            return ()
        self._failing.discard(node.name)
        return gpus

    async def _from_agent(self, node: Node) -> list[Gpu]:
        try:
            reply = await self._agent(node.agent_url, node.name).json("GET", "/gpus", deadline_s=AGENT_S)
            gpus = reply["gpus"]
            if not isinstance(gpus, list) or len(gpus) > MOST_GPUS:
                raise ValueError("gpus is no list of them")
            return [Gpu.from_json(gpu) for gpu in gpus]
        except NodeFailure as failure:
            raise GpusUnreadable(f"its agent: {failure.text}") from None
        except (KeyError, TypeError, ValueError) as error:
            raise GpusUnreadable(f"its agent answered what is no reading: {error}") from None

    def _agent(self, url: str, name: str) -> Exchange:
        agent = self._agents.get(url)
        if agent is None:
            bearer = (("Authorization", f"Bearer {self._token}"),) if self._token else ()
            agent = self._agents[url] = Exchange(name, url, Access(headers=bearer))
        return agent

    async def _forget(self, but: set[str]) -> None:
        for url in set(self._agents) - but:
            await self._agents.pop(url).aclose()


def on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

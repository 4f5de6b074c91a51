"""The fleet that a trace is replayed on: nodes, their speed, and how long loads and answers take."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scheduler.policy.config import GB
from scheduler.policy.state import Node

SPEC = re.compile(r"(?:(?P<count>\d+)\s*x\s*)?(?P<gb>\d+(?:\.\d+)?)(?:@(?P<gbps>\d+(?:\.\d+)?))?", re.ASCII)
MOST_NODES = 1000


class BadFleet(ValueError):
    """The nodes are not described as COUNTxGB; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take on a node. Weights stream through memory once per token."""

    slots: int = 4  # parallel generations of a resident
    load_overhead_s: float = 1.5
    load_gbps: float = 2.0  # what users measure from NVMe through Ollama (issue 6807 there)
    decode_gbps: float = 540.0  # 0.6 of a 900 GB/s card: tokens/s = this / GB
    decode_cap: float = 150.0  # tokens/s
    prefill: float = 2000.0  # tokens/s, as the fake node's

    def service_s(self, size_gb: float, prompt_tokens: int, output_tokens: int) -> float:
        """Seconds that a request holds its seat."""
        decode = min(self.decode_cap, self.decode_gbps / size_gb)
        return prompt_tokens / self.prefill + output_tokens / decode


def parse(spec: str, timing: Timing) -> list[Node]:
    """Nodes from `2x48` (two of 48 GB), `1x24+2x80`, `2x24@4` (loads at 4 GB/s). Raises BadFleet."""
    nodes: list[Node] = []
    for part in spec.replace(",", "+").split("+"):
        match = SPEC.fullmatch(part.strip())
        count = int(match["count"] or 1) if match else 0
        if match is None or not 1 <= count <= MOST_NODES or float(match["gb"]) <= 0:
            raise BadFleet(
                f"nodes {spec!r} are not understood: write 2x48 for two nodes of 48 GB, or 1x24+2x80."
            )
        gbps = float(match["gbps"] or timing.load_gbps)
        if gbps <= 0:
            raise BadFleet(f"nodes {spec!r} load at 0 GB/s: give a speed above 0 after the @.")
        for _ in range(count):
            nodes.append(
                Node(
                    name=f"node{len(nodes) + 1}",
                    vram_bytes=int(float(match["gb"]) * GB),
                    slots=timing.slots,
                    load_gbps=gbps,
                    load_overhead_s=timing.load_overhead_s,
                )
            )
    return nodes

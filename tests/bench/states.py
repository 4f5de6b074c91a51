"""States as large as a fleet gets, for timing decisions."""

from __future__ import annotations

from scheduler.policy.config import GB
from scheduler.policy.state import Line, Model, Node, Profile, Resident, State, Stats

NOW = 1_000_000.0


def crowded_state(models: int, nodes: int) -> tuple[State, float]:
    """Every node full of residents, some busy, and a line for every third model; and the time it is."""
    fleet = {f"n{i:03d}": Node(name=f"n{i:03d}", vram_bytes=48 * GB, slots=4) for i in range(nodes)}
    catalogue = {
        f"m{i:03d}": Model(
            name=f"m{i:03d}", digests=dict.fromkeys(fleet, f"d{i}"), weights_bytes=(3 + i % 7 * 2) * GB
        )
        for i in range(models)
    }
    names = list(catalogue)
    residents = {}
    for i, node in enumerate(fleet):
        free = fleet[node].vram_bytes
        for k in range(6):
            model = catalogue[names[(i * 6 + k * 5) % models]]
            if model.weights_bytes * 1.2 < free:
                free -= int(model.weights_bytes * 1.2)
                residents[node, model.name] = Resident(
                    node=node,
                    model=model.name,
                    digest=model.digests[node],
                    profile=Profile(num_ctx=8192, slots=4),
                    bytes=model.weights_bytes,
                    in_flight=(i + k) % 3,
                    last_used=NOW - 10.0 * k,
                    loaded_at=NOW - 600.0,
                )
    lines = {m: Line(model=m, waiting=1 + i % 5, since=NOW - i) for i, m in enumerate(names) if i % 3 == 0}
    return State(nodes=fleet, models=catalogue, residents=residents, lines=lines, stats=Stats()), NOW

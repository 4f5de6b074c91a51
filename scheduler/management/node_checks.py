"""The doctor's live look at nodes: what they answer, and whether their rows tell the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from scheduler.management import access_checks, health
from scheduler.management.doctor import Finding
from scheduler.management.health import Health
from scheduler.models import Node
from scheduler.nodes import RunningModel
from scheduler.nodes.version import UNRELEASED, version_tuple
from scheduler.policy import context, packing
from scheduler.policy.config import GB
from scheduler.policy.state import Model
from scheduler.policy.state import Node as PolicyNode
from scheduler.residency import rows

OLDEST = (0, 12, 0)  # what older ones do differently was not looked at
SLOW_S = 1.0  # of an answer to /api/version
SLOTS_TRIED = (1, 2, 4, 8, 16)
NEAR, FAR = 0.10, 0.20  # relative distance of a predicted size from the reported one: agrees; does not


def look(nodes: Sequence[Node]) -> Iterator[Finding]:
    """Findings for each node, with one look at all of them at once."""
    if not nodes:
        cure = "`manage.py nodes add http://host:11434`, or set OLLAMA_URL."
        yield Finding(check="nodes", level="fail", said="There is none.", cure=cure)
        return
    models = rows.read().models
    for node, seen in zip(nodes, health.look(nodes), strict=True):
        yield from of_node(node, seen, models)


def of_node(node: Node, seen: Health, models: Mapping[str, Model]) -> Iterator[Finding]:
    check = f"node {node.name}"
    yield from access_checks.of_access(node)
    if seen.status in (401, 403, 407):
        cure = "Give it the header that its proxy asks for: `nodes access`, or the node's form in the admin."
        yield Finding(
            check=check, level="fail", said=f"It lets nobody in: {seen.status} {seen.error}.", cure=cure
        )
        return
    if seen.error:
        cure = f"Is Ollama running there, and does {node.url} lead to it from this machine (OLLAMA_HOST)?"
        yield Finding(check=check, level="fail", said=f"It does not answer: {seen.error}.", cure=cure)
        return
    said = f"Ollama {seen.version} answers in {1000 * (seen.seconds or 0):.0f} ms."
    slow = (seen.seconds or 0) > SLOW_S
    cure = "Look at its load and at the network between." if slow else ""
    yield Finding(check=check, level="warn" if slow else "ok", said=said, cure=cure)
    yield from _version(check, seen.version)
    yield from _vram(check, node)
    for running in seen.running:
        yield from _spill(check, running)
        if running.name in models:
            yield from _slots(check, node, running, models[running.name])


def _version(check: str, text: str) -> Iterator[Finding]:
    version = version_tuple(text)
    if version != UNRELEASED and version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        cure = f"Update it to {oldest} or later."
        yield Finding(check=check, level="warn", said=f"Ollama {text} is older than {oldest}.", cure=cure)


def _vram(check: str, node: Node) -> Iterator[Finding]:
    if node.vram_total is None:
        yield Finding(
            check=check,
            level="warn",
            said="How much VRAM it has is not known: three models at most are loaded at once.",
            cure=f"Enter it (admin, or `nodes add --vram`), or run `manage.py agent` on {node.name}.",
        )


def _spill(check: str, running: RunningModel) -> Iterator[Finding]:
    if running.size_vram and running.spilled_bytes:
        yield Finding(
            check=check,
            level="warn",
            said=f"{running.spilled_bytes / GB:.1f} GB of {running.name} lie in host memory, which is slow.",
            cure="Give it a smaller context, or a node with more VRAM; on_spill of its entry may refuse it.",
        )


def _slots(check: str, node: Node, running: RunningModel, model: Model) -> Iterator[Finding]:
    """OLLAMA_NUM_PARALLEL is not in any answer, but the size of the KV cache follows from it."""
    if model.shape is None or model.max_slots == 1:
        return
    stated = _distance(node, running, model, node.parallel)
    nearest = min(SLOTS_TRIED, key=lambda slots: _distance(node, running, model, slots))
    if stated > FAR and _distance(node, running, model, nearest) < NEAR:
        yield Finding(
            check=check,
            level="warn",
            said=f"{running.name} takes {running.size_bytes / GB:.1f} GB, as with {nearest} slots; "
            f"the node's row says {node.parallel}.",
            cure="Make the row and OLLAMA_NUM_PARALLEL on the node say the same.",
        )


def _distance(node: Node, running: RunningModel, model: Model, slots: int) -> float:
    """How far the size predicted for so many slots is from the reported one, relative to it."""
    place = PolicyNode(name=node.name, vram_bytes=0, slots=slots, kv_type=node.kv_type)
    profile = context.profile(model, place, running.num_ctx or context.usual(model))
    return abs(packing.predicted(model, profile) - running.size_bytes) / max(running.size_bytes, 1)

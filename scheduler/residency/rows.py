"""What the database says, as values: nodes, models, pins, measurements. Read when it changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from scheduler.models import (
    CATALOGUE,
    OPEN,
    Access,
    Alias,
    CatalogModel,
    Measurement,
    ModelOnNode,
    Node,
    PinningPolicy,
    Revision,
    WarmPrefix,
    Workflow,
)
from scheduler.models.alias import follow
from scheduler.models.as_policy import footprints, model_of
from scheduler.models.warm_prefix import sent_think
from scheduler.models.workflow import FEWEST, MOST
from scheduler.policy import hints
from scheduler.policy.names import is_cloud
from scheduler.policy.state import Footprint, Measured, Model, Pin
from scheduler.residency.prefixes import Prefix

MOST_PREFIXES = 200  # kept in memory
ANY_CONTEXT = 2**20  # tokens: what is run elsewhere bounds its context itself


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node as operators entered it, and what agents reported."""

    pk: int
    name: str
    url: str
    access: Access = OPEN
    draining: bool = False
    slots: int = 1
    kv_type: str = "f16"
    vram_bytes: int | None = None  # None: nobody told
    load_gbps: float | None = None  # measured
    quarantined: bool = False
    agent_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stub:
    """A model whose calls a node forwards: it takes no VRAM there, and nothing is loaded."""

    node: str
    model: str
    num_ctx: int  # tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One reading of the database."""

    number: int = 0  # of the catalogue's revision
    nodes: Mapping[str, NodeRow] = field(default_factory=dict)  # enabled ones
    models: Mapping[str, Model] = field(default_factory=dict)  # enabled ones that nodes hold themselves
    stubs: tuple[Stub, ...] = ()  # models that nodes forward to another host, where that is allowed
    on_spill: Mapping[str, str] = field(default_factory=dict)  # by model: allow, alert or refuse
    embedding: frozenset[str] = frozenset()  # models that can do nothing else
    always: tuple[Pin, ...] = ()  # of catalogue entries with min_replicas
    policies: tuple[PinningPolicy, ...] = ()  # enabled ones, highest priority first
    workflows: tuple[hints.Workflow, ...] = ()  # enabled ones
    prefixes: Mapping[str, tuple[Prefix, ...]] = field(default_factory=dict)  # by model, the most used first
    footprints: Mapping[Footprint, Measured] = field(default_factory=dict)
    load_s: Mapping[tuple[str, str], float] = field(default_factory=dict)  # by (node, digest)

    def pins(self, now: float) -> list[Pin]:
        """The pins in force now, highest priority first."""
        moment = datetime.fromtimestamp(now, UTC)
        open_now = [pin for p in self.policies if p.holds(moment) for pin in self._of(p)]
        return sorted([*open_now, *self.always], key=lambda pin: -pin.priority)

    def _of(self, policy: PinningPolicy) -> list[Pin]:
        nodes = None if policy.nodes == "*" else frozenset(policy.nodes_among(self.nodes))
        return [
            Pin(
                model=model,
                nodes=nodes,
                min_replicas=policy.min_replicas,
                priority=policy.priority,
                name=policy.name,
            )
            for model in policy.models_among(self.models)
        ]


def revision() -> int:
    """The number that moves when any of this but measurements and readings changes."""
    return Revision.objects.number(CATALOGUE)


def read() -> Rows:
    """Everything, in nine queries. The number comes before the rows: a write in between shows next time."""
    number = revision()
    nodes = {node.pk: node for node in Node.objects.enabled()}
    copies: dict[int, list[ModelOnNode]] = defaultdict(list)
    for copy in ModelOnNode.objects.filter(node_id__in=nodes):
        copies[copy.model_id].append(copy)
    enabled = [m for m in CatalogModel.objects.enabled() if copies[m.pk]]
    entries = [m for m in enabled if not is_remote(m, copies[m.pk])]
    measured = list(Measurement.objects.filter(node__in=[n.name for n in nodes.values()]))
    return Rows(
        number=number,
        nodes={node.name: node_row(node) for node in nodes.values()},
        models={m.name: model_of(m, copies[m.pk], nodes) for m in entries},
        stubs=tuple(_stubs([m for m in enabled if is_remote(m, copies[m.pk])], copies, nodes)),
        on_spill={m.name: m.on_spill for m in entries},
        embedding=frozenset(m.name for m in entries if m.is_embedding_only),
        always=tuple(_kept(m) for m in entries if m.min_replicas),
        policies=tuple(PinningPolicy.objects.filter(enabled=True).order_by("-priority", "name")),
        workflows=tuple(_workflows()),
        prefixes=_prefixes(),
        footprints=footprints(measured),
        load_s={(m.node, m.digest): m.load_s for m in measured if m.load_s is not None},
    )


def is_remote(model: CatalogModel, copies: list[ModelOnNode]) -> bool:
    """Whether a node would forward calls to it."""
    return is_cloud(model.name) or any(copy.remote_host for copy in copies)


def _stubs(
    models: list[CatalogModel], copies: Mapping[int, list[ModelOnNode]], nodes: Mapping[int, Node]
) -> Iterator[Stub]:
    if not settings.ALLOW_CLOUD:
        return
    for model in models:
        for copy in copies[model.pk]:
            num_ctx = model.largest_ctx or ANY_CONTEXT
            yield Stub(node=nodes[copy.node_id].name, model=model.name, num_ctx=num_ctx)


def _workflows() -> Iterator[hints.Workflow]:
    """As policy sees them; one that was made so short that it says nothing is left out."""
    enabled = list(Workflow.objects.enabled())
    aliases = Alias.objects.mapping() if enabled else {}
    for workflow in enabled:
        models = workflow.resolved(aliases)
        if FEWEST <= len(models) <= MOST:
            yield hints.Workflow(
                name=workflow.name,
                models=models,
                keys=frozenset(workflow.keys) or None,
                repeats=workflow.repeats,
            )


def _prefixes() -> dict[str, tuple[Prefix, ...]]:
    usable = list(WarmPrefix.objects.usable().order_by("-seen", "id")[:MOST_PREFIXES])
    aliases = Alias.objects.mapping() if usable else {}
    by_model: dict[str, list[Prefix]] = defaultdict(list)
    for row in usable:
        model = follow(row.model, aliases) or row.model
        by_model[model].append(
            Prefix(
                id=row.pk,
                model=model,
                route="generate" if row.route == WarmPrefix.Route.GENERATE else "chat",
                system=row.system,
                tools=tuple(row.tools),
                think=sent_think(row.think),
            )
        )
    return {model: tuple(prefixes) for model, prefixes in by_model.items()}


def node_row(node: Node) -> NodeRow:
    return NodeRow(
        pk=node.pk,
        name=node.name,
        url=node.url,
        access=node.access,
        draining=node.draining,
        slots=node.parallel,
        kv_type=node.kv_type,
        vram_bytes=node.vram_total,
        load_gbps=node.load_gbps,
        quarantined=node.state == Node.State.QUARANTINED,
        agent_url=node.agent_url,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """VRAM that nobody used on a node, as its GPUs said."""

    free_bytes: int
    at: float  # Unix seconds
    watts: float | None = None  # what they draw; None: not measured


def readings() -> dict[str, Reading]:
    """The newest reading of each node that has one: they change without a new revision."""
    rows = Node.objects.enabled().exclude(gpus_at=None).values_list("name", "gpus", "gpus_at")
    return {
        name: Reading(
            free_bytes=sum(int(gpu["free"]) for gpu in gpus), at=at.timestamp(), watts=watts_of(gpus)
        )
        for name, gpus, at in rows
        if gpus and at
    }


def watts_of(gpus: Iterable[Mapping[str, Any]]) -> float | None:
    """What all GPUs draw together; None where one of them does not say."""
    drawn = [gpu.get("power_w") for gpu in gpus]
    return None if None in drawn else round(sum(float(watts) for watts in drawn if watts is not None), 1)


def _kept(model: CatalogModel) -> Pin:
    return Pin(model=model.name, min_replicas=model.min_replicas, name=f"the catalogue entry {model.name}")


def keep_alive() -> int | str:
    """What calls to nodes carry: a number of seconds as a number, a duration as a string (Ollama's rule)."""
    text = str(settings.KEEP_ALIVE)
    try:
        return int(text)
    except ValueError:
        return text

"""The catalogue as requests see it: a snapshot of nodes, models and aliases. No query per request."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Literal

from django.conf import settings

from bridge.snapshots import Keeper
from scheduler.models import CATALOGUE, OPEN, Access, Alias, CatalogModel, ModelOnNode, Node, Revision
from scheduler.models.alias import follow
from scheduler.models.digests import Copy, canonical
from scheduler.policy.names import DEFAULT_TAG, BadName, is_cloud, normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a node is."""

    name: str
    url: str
    draining: bool
    access: Access = OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model that requests may name."""

    name: str  # normalised
    listed: str  # the name that lists show: its own, or the alias this entry stands for
    digest: str  # the one that its name means: what most nodes hold
    nodes: tuple[str, ...]  # enabled nodes that hold this digest, interchangeable
    drifted: Mapping[str, str]  # enabled nodes that hold another digest under this name
    slots: Mapping[str, int]  # parallel generations, by node
    capabilities: frozenset[str]
    trained_ctx: int | None  # tokens
    num_ctx: int  # tokens of context when a request asks for no more
    num_ctx_max: int | None  # tokens that a request may ask for; None: unknown
    buckets: tuple[int, ...]  # context lengths that it may be loaded with; empty: powers of two
    think: str  # where a request says nothing: "" as it comes, or off, on, low, medium, high
    size_bytes: int  # on disk
    modified_at: datetime | None
    details: Mapping[str, Any]  # as /api/tags gives them: family, parameter_size, quantization_level, …
    remote: bool  # a stub: the node forwards its calls to another host

    def can(self, capability: str) -> bool:
        """Nodes before 0.30 that named no capabilities are believed to have it."""
        return capability in self.capabilities or not self.capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Why a name means no model."""

    kind: Literal["bad_name", "cloud", "disabled", "unknown"]
    sentence: str
    close: tuple[str, ...] = ()  # names that may have been meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    entries: Mapping[str, Entry] = field(default_factory=dict)  # by normalised name
    nodes: Mapping[str, Address] = field(default_factory=dict)  # enabled ones, by name
    listing: tuple[Entry, ...] = ()  # models and aliases, by listed name
    spellings: Mapping[str, Entry] = field(default_factory=dict)  # common spellings, to save the normalising
    disabled: frozenset[str] = frozenset()
    allow_cloud: bool = False
    oldest_version: str | None = None  # of Ollama among the nodes; None: no node was seen yet

    def resolve(self, name: str) -> Entry | None:
        """The model that a client means by this name, through aliases; None when there is none."""
        if (entry := self.spellings.get(name)) is not None:
            return entry
        try:
            return self.spellings.get(normalise(name))
        except BadName:
            return None

    def visible(self, may_use: Callable[[str], bool]) -> list[Entry]:
        """Models, and aliases as entries of their own, whose model or listed name the key may use."""
        return [entry for entry in self.listing if may_use(entry.name) or may_use(entry.listed)]

    def absence(self, name: str, may_use: Callable[[str], bool]) -> Absence:
        """Why `resolve` found nothing, with near names among those that the key may use."""
        try:
            wanted = normalise(name)
        except BadName as error:
            return Absence(kind="bad_name", sentence=str(error))
        if is_cloud(name) and not self.allow_cloud:
            return Absence(
                kind="cloud",
                sentence=f"model {name!r} would run at ollama.com, which this bridge does not allow "
                "(BRIDGE_ALLOW_CLOUD).",
            )
        if wanted in self.disabled and may_use(wanted):
            return Absence(kind="disabled", sentence=f"model {name!r} is switched off by its operator.")
        return self._unknown(name, wanted, may_use)

    def _unknown(self, name: str, wanted: str, may_use: Callable[[str], bool]) -> Absence:
        names = [short(entry.listed) for entry in self.visible(may_use)]
        close = tuple(get_close_matches(short(wanted), names, n=3, cutoff=0.6))
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        return Absence(kind="unknown", sentence=f"model {name!r} not found.{hint}", close=close)


EMPTY = Catalogue()


def short(name: str) -> str:
    """A name as people write it: without the tag that goes without saying."""
    return name.removesuffix(f":{DEFAULT_TAG}")


def read() -> Catalogue:
    """The catalogue from the database, in four queries."""
    nodes = {node.pk: node for node in Node.objects.enabled()}
    held: dict[int, list[ModelOnNode]] = defaultdict(list)
    for copy in ModelOnNode.objects.filter(node_id__in=nodes):
        held[copy.model_id].append(copy)
    models = list(CatalogModel.objects.all())
    cloud = bool(settings.ALLOW_CLOUD)
    entries = {
        model.name: _entry(model, held[model.pk], nodes)
        for model in models
        if model.enabled and held[model.pk] and (cloud or not _is_remote(model, held[model.pk]))
    }
    return assemble(
        entries.values(),
        nodes=[Address(name=n.name, url=n.url, draining=n.draining, access=n.access) for n in nodes.values()],
        aliases=Alias.objects.mapping(),
        disabled=[model.name for model in models if not model.enabled],
        allow_cloud=cloud,
        versions=[node.version for node in nodes.values() if node.version],
    )


def assemble(
    entries: Iterable[Entry],
    *,
    nodes: Iterable[Address],
    aliases: Mapping[str, str],
    disabled: Iterable[str] = (),
    allow_cloud: bool = False,
    versions: Iterable[str] = (),
) -> Catalogue:
    """A snapshot of these. A model wins over an alias of the same name."""
    by_name = {entry.name: entry for entry in entries}
    listed = dict(by_name)
    in_force = {alias: model for alias, model in aliases.items() if alias not in by_name}
    for alias in in_force:
        target = by_name.get(follow(alias, in_force) or "")
        if target is not None:
            listed[alias] = replace(target, listed=alias)
    return Catalogue(
        entries=by_name,
        nodes={node.name: node for node in nodes},
        listing=tuple(listed[name] for name in sorted(listed)),
        spellings=listed | {short(name): entry for name, entry in listed.items()},
        disabled=frozenset(disabled),
        allow_cloud=allow_cloud,
        oldest_version=min(versions, key=_parts, default=None),
    )


def keeper(interval_s: float = 0.4) -> Keeper[Catalogue]:
    """Keeps this process's snapshot current."""
    return Keeper(
        "catalogue", load=read, revision=lambda: Revision.objects.number(CATALOGUE), interval_s=interval_s
    )


def _parts(version: str) -> list[int]:
    """'0.30.2-rc1' as [0, 30, 2]: enough to order releases."""
    return [int(digits) for digits in re.findall(r"\d+", version.partition("-")[0])]


def _is_remote(model: CatalogModel, copies: list[ModelOnNode]) -> bool:
    return is_cloud(model.name) or any(copy.remote_host for copy in copies)


def _entry(model: CatalogModel, copies: list[ModelOnNode], nodes: Mapping[int, Node]) -> Entry:
    held = [Copy(node=nodes[c.node_id].name, digest=c.digest, modified_at=c.modified_at) for c in copies]
    digest = canonical(held) or ""
    original = next(copy for copy in copies if copy.digest == digest)
    return Entry(
        name=model.name,
        listed=model.name,
        digest=digest,
        nodes=tuple(sorted(copy.node for copy in held if copy.digest == digest)),
        drifted={copy.node: copy.digest for copy in held if copy.digest != digest},
        slots={nodes[c.node_id].name: model.slots_on(nodes[c.node_id]) for c in copies},
        capabilities=frozenset(original.capabilities),
        trained_ctx=model.trained_ctx,
        num_ctx=model.default_ctx,
        num_ctx_max=model.largest_ctx,
        buckets=tuple(model.buckets),
        think=model.think,
        size_bytes=original.size_bytes,
        modified_at=original.modified_at,
        details=original.details,
        remote=_is_remote(model, copies),
    )

"""From what a node said to rows. Nothing is written, and no revision moves, where nothing changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from scheduler.catalogue.observe import Facts, NodeSeen
from scheduler.catalogue.report import NodeSync
from scheduler.models import Alias, CatalogModel, ModelOnNode, Node
from scheduler.models.digests import Copy, canonical
from scheduler.nodes import TaggedModel

COPY_FIELDS = ("digest", "size_bytes", "modified_at", "details", "show", "capabilities", "remote_host")
SEEN_FIELDS = ("family", "parameter_size", "quantization", "capabilities", "trained_ctx", "size_bytes")


def known_facts() -> dict[str, Facts]:
    """What earlier looks learned, by digest."""
    rows = ModelOnNode.objects.exclude(show={}).values_list("digest", "show", "capabilities")
    return {
        digest: Facts(capabilities=tuple(capabilities), show=show, trained_ctx=_trained_ctx(show))
        for digest, show, capabilities in rows
    }


def apply(node: Node, seen: NodeSeen) -> NodeSync:
    """Make the node's rows equal to what it said."""
    with transaction.atomic():
        if not Node.objects.select_for_update().filter(pk=node.pk).exists():
            return NodeSync(node=node.name, error="It was removed from the catalogue meanwhile.")
        models = _models({tag.name for tag in seen.tags})
        before = {copy.model_id: copy for copy in node.copies.all()}
        added, changed = [], []
        for tag in {tag.name: tag for tag in seen.tags}.values():
            wanted = _wanted(tag, seen.facts.get(tag.digest))
            copy = before.pop(models[tag.name].pk, None)
            if copy is None:
                added.append(ModelOnNode(node=node, model=models[tag.name], seen_at=timezone.now(), **wanted))
            elif _take(copy, wanted):
                changed.append(copy)
        ModelOnNode.objects.bulk_create(added, update_conflicts=True, **ON_CONFLICT)
        ModelOnNode.objects.bulk_update(changed, COPY_FIELDS)
        removed = list(before.values())
        ModelOnNode.objects.filter(pk__in=[copy.pk for copy in removed]).delete()
        node.copies.update(seen_at=timezone.now())
        node.saw(version=seen.version)
        names = {model.pk: name for name, model in models.items()}
        names |= dict(CatalogModel.objects.filter(pk__in=before).values_list("pk", "name"))
        refresh_models([copy.model_id for copy in (*added, *changed, *removed)])
    return NodeSync(
        node=node.name,
        version=seen.version,
        added=tuple(sorted(names[copy.model_id] for copy in added)),
        changed=tuple(sorted(names[copy.model_id] for copy in changed)),
        removed=tuple(sorted(names[copy.model_id] for copy in removed)),
        problems=seen.problems,
        running=seen.running,
    )


ON_CONFLICT: dict[str, Any] = {"unique_fields": ["node", "model"], "update_fields": [*COPY_FIELDS, "seen_at"]}


def missed(node: Node, error: str) -> NodeSync:
    """The node could not be read: its copies stay, it may be back in a moment."""
    node.missed(error)
    return NodeSync(node=node.name, error=error)


def forget_lost() -> tuple[str, ...]:
    """Remove models that no node holds and about which no operator decided anything; their names."""
    lost = CatalogModel.objects.held_nowhere().untouched()
    names = tuple(lost.values_list("name", flat=True))
    if names:
        CatalogModel.objects.filter(name__in=names).held_nowhere().delete()
    return names


def drift() -> dict[str, dict[str, str]]:
    """Models whose name means different digests on enabled nodes."""
    held: dict[str, dict[str, str]] = defaultdict(dict)
    rows = ModelOnNode.objects.filter(node__enabled=True).values_list("model__name", "node__name", "digest")
    for model, node, digest in rows:
        held[model][node] = digest
    return {model: nodes for model, nodes in sorted(held.items()) if len(set(nodes.values())) > 1}


def shadowed_aliases() -> tuple[str, ...]:
    held = CatalogModel.objects.filter(copies__isnull=False).values("name")
    return tuple(Alias.objects.filter(name__in=held).values_list("name", flat=True))


def refresh_models(ids: Collection[int]) -> None:
    """Take the facts of the catalogue entries from the copies that most nodes hold."""
    copies: dict[int, list[ModelOnNode]] = defaultdict(list)
    for copy in ModelOnNode.objects.filter(model_id__in=ids).select_related("node"):
        copies[copy.model_id].append(copy)
    models = CatalogModel.objects.filter(pk__in=copies)
    changed = [model for model in models if _take(model, _seen_of(copies[model.pk]))]
    CatalogModel.objects.bulk_update(changed, SEEN_FIELDS)


def _models(names: Iterable[str]) -> Mapping[str, CatalogModel]:
    """The entries of these names, made where missing (another process may make them too)."""
    names = set(names)
    found = {model.name: model for model in CatalogModel.objects.filter(name__in=names)}
    if missing := names - set(found):
        CatalogModel.objects.bulk_create(
            [CatalogModel(name=name) for name in sorted(missing)], ignore_conflicts=True
        )
        found |= {model.name: model for model in CatalogModel.objects.filter(name__in=missing)}
    return found


def _wanted(tag: TaggedModel, facts: Facts | None) -> dict[str, Any]:
    """The fields of a copy. Without facts, those are asked for again next time."""
    return {
        "digest": tag.digest,
        "size_bytes": tag.size_bytes,
        "modified_at": tag.modified_at,
        "details": dict(tag.details),
        "show": dict(facts.show) if facts else {},
        "capabilities": list(facts.capabilities) if facts else [],
        "remote_host": tag.remote_host,
    }


def _seen_of(copies: list[ModelOnNode]) -> dict[str, Any]:
    enabled = [copy for copy in copies if copy.node.enabled] or copies
    digest = canonical(
        Copy(node=copy.node.name, digest=copy.digest, modified_at=copy.modified_at) for copy in enabled
    )
    copy = next(copy for copy in enabled if copy.digest == digest)
    return {
        "family": str(copy.details.get("family") or ""),
        "parameter_size": str(copy.details.get("parameter_size") or ""),
        "quantization": str(copy.details.get("quantization_level") or ""),
        "capabilities": copy.capabilities,
        "trained_ctx": _trained_ctx(copy.show),
        "size_bytes": copy.size_bytes,
    }


def _take(row: ModelOnNode | CatalogModel, wanted: Mapping[str, Any]) -> bool:
    """Set the fields; whether one changed."""
    changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    for name, value in changed.items():
        setattr(row, name, value)
    return bool(changed)


def _trained_ctx(show: Mapping[str, Any]) -> int | None:
    info = show.get("model_info", {})
    value = info.get(f"{info.get('general.architecture', '')}.context_length")
    return int(value) if isinstance(value, int | float) else None

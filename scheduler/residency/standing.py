"""Standing orders of operators, as rows: pins and drains. Runs in the database's thread."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from scheduler.models import CatalogModel, Node, PinningPolicy

Outcome = tuple[str, str]  # done or refused, and a sentence


def drain(name: str, draining: bool) -> None:
    for node in Node.objects.filter(name=name).exclude(draining=draining):
        node.draining = draining
        node.save(update_fields=["draining"])


def pin(model: str, node: str) -> Outcome:
    """Promise to keep the model loaded, on that node or anywhere."""
    if not CatalogModel.objects.enabled().filter(name=model).exists():
        return "refused", f"{model} is not in the catalogue, or is switched off."
    name = pin_name(model, node)
    policy = PinningPolicy.objects.filter(name=name).first() or PinningPolicy(
        name=name, model=model, nodes=node or "*", note="Made by an operator's pin.", enabled=False
    )
    if policy.enabled:
        return "done", f"{model} is kept already, by {name}."
    policy.enabled = True
    try:
        policy.full_clean()
    except ValidationError as error:
        return "refused", " ".join(error.messages)
    policy.save()
    return "done", f"{model} is kept from now on{f' on {node}' if node else ''}."


def unpin(model: str, node: str) -> Outcome:
    """Take back the pins of exactly this model; those by pattern or catalogue entry are only named."""
    mine = PinningPolicy.objects.filter(model=model, enabled=True)
    if node:
        mine = mine.filter(nodes=node)
    names = sorted(mine.values_list("name", flat=True))
    mine.delete()
    others = [p.name for p in PinningPolicy.objects.filter(enabled=True) if p.models_among([model])]
    others += [
        f"its catalogue entry (min_replicas {m.min_replicas})"
        for m in CatalogModel.objects.filter(name=model, min_replicas__gt=0)
    ]
    still = f" It is still kept by {', '.join(others)}." if others else ""
    if not names:
        return "refused", f"No pin names {model}{f' on {node}' if node else ''} itself.{still}"
    return "done", f"Taken back: {', '.join(names)}.{still}"


def pin_name(model: str, node: str) -> str:
    return f"pin {model}{f' on {node}' if node else ''}"[:64]

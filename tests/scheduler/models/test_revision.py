from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from scheduler.models import CATALOGUE, Alias, CatalogModel, ModelOnNode, Node, PinningPolicy, Revision

pytestmark = pytest.mark.django_db


def number() -> int:
    return Revision.objects.number(CATALOGUE)


def test_a_topic_begins_at_zero_and_counts() -> None:
    assert Revision.objects.number("keys") == 0
    Revision.objects.bump("keys")
    Revision.objects.bump("keys")
    assert (Revision.objects.number("keys"), number()) == (2, 0)


@pytest.mark.parametrize(
    "write",
    [
        lambda node: node.save(),
        lambda node: node.delete(),
        lambda node: node.save(update_fields=["draining"]),
        lambda node: Node.objects.update(enabled=False),
        lambda node: Node.objects.all().delete(),
        lambda node: Node.objects.bulk_create([Node(name="b", url="http://b:1")]),
        lambda node: Node.objects.bulk_update([node], ["slots"]),
        lambda node: CatalogModel.objects.create(name="m:latest"),
        lambda node: Alias.objects.create(name="x:latest", model="m:latest"),
        lambda node: PinningPolicy.objects.create(name="p", model="*"),
        lambda node: node.saw(version="0.33.0"),
        lambda node: node.missed("silent"),
        lambda node: node.read_gpus([{"total": 80, "free": 60}], timezone.now()),
        lambda node: node.become(Node.State.QUARANTINED, "its loads hang"),
        lambda node: node.copies.create(
            model=CatalogModel(name="m", pk=1), digest="d", size_bytes=1, seen_at=timezone.now()
        ),
    ],
)
def test_every_way_of_writing_moves_the_number(write: Callable[[Node], object]) -> None:
    CatalogModel.objects.create(pk=1, name="base:latest")
    node = Node.objects.create(name="a", url="http://a:11434")
    before = number()
    write(node)
    assert number() > before


def test_observations_move_nothing() -> None:
    node = Node.objects.create(name="a", url="http://a:11434")
    node.saw(version="0.33.0")
    model = CatalogModel.objects.create(name="m:latest")
    node.copies.create(model=model, digest="d", size_bytes=1, seen_at=timezone.now())
    node.read_gpus([{"total": 80, "free": 60}], timezone.now())
    before = number()
    node.saw(version="0.33.0")
    node.read_gpus([{"total": 80, "free": 50}], timezone.now())
    ModelOnNode.objects.update(seen_at=timezone.now())
    Node.objects.filter(name="nobody").update(enabled=False)
    assert number() == before

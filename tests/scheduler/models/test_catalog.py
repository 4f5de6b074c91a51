from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from scheduler.models import Alias, CatalogModel, ModelOnNode, Node

pytestmark = pytest.mark.django_db


def make(name: str = "llama3.2", **fields: Any) -> CatalogModel:
    model = CatalogModel(name=name, **{"trained_ctx": 131072} | fields)
    model.full_clean()
    model.save()
    return model


def test_a_name_is_kept_in_its_normal_form() -> None:
    assert make("Llama3.2").name == "llama3.2:latest"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "no name!"},
        {"num_ctx": 2},
        {"num_ctx": 200_000},
        {"num_ctx_max": 200_000},
        {"num_ctx": 16384, "num_ctx_max": 8192},
        {"buckets": [200_000]},
        {"buckets": ["8192"]},
        {"buckets": [True]},
        {"buckets": {"8192": 1}},
        {"slots": 0},
        {"think": "perhaps"},
    ],
)
def test_a_policy_that_cannot_hold_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make(**fields)


def test_buckets_are_kept_sorted_and_once() -> None:
    assert make(buckets=[32768, 8192, 8192]).buckets == [8192, 32768]


@pytest.mark.parametrize("family", ["qwen3next", "mllama"])
def test_families_that_ollama_serialises_have_one_slot(family: str) -> None:
    node = Node(name="a", slots=4)
    assert CatalogModel(family=family).slots_on(node) == 1
    assert CatalogModel(family="llama").slots_on(node) == 4
    assert CatalogModel(family="llama", slots=8).slots_on(node) == 4


def test_untouched_are_those_about_which_nobody_decided() -> None:
    make("plain")
    make("tuned", num_ctx=4096)
    make("off", enabled=False)
    make("noted", note="for the tests")
    make("bucketed", buckets=[4096])
    assert [model.name for model in CatalogModel.objects.untouched()] == ["plain:latest"]


def test_held_nowhere_are_those_without_a_copy() -> None:
    node = Node.objects.create(name="a", url="http://a:1")
    ModelOnNode.objects.create(
        node=node, model=make("held"), digest="d", size_bytes=1, seen_at=timezone.now()
    )
    make("lost")
    assert [model.name for model in CatalogModel.objects.held_nowhere()] == ["lost:latest"]


class TestAlias:
    def alias(self, name: str, model: str) -> Alias:
        alias = Alias(name=name, model=model)
        alias.full_clean()
        alias.save()
        return alias

    def test_it_is_kept_in_normal_form(self) -> None:
        make()
        alias = self.alias("GPT-4o", "llama3.2")
        assert (alias.name, alias.model) == ("gpt-4o:latest", "llama3.2:latest")

    def test_it_may_not_hide_a_model(self) -> None:
        make("qwen3:8b")
        make()
        with pytest.raises(ValidationError, match="would hide it"):
            self.alias("qwen3:8b", "llama3.2")

    def test_it_may_not_lead_back_to_itself(self) -> None:
        make()
        first = self.alias("first", "llama3.2")
        self.alias("second", "first")
        with pytest.raises(ValidationError, match="leads back"):
            self.alias("third", "third")
        first.model = "second"
        with pytest.raises(ValidationError, match="leads back"):
            first.full_clean()

    def test_its_model_must_exist(self) -> None:
        with pytest.raises(ValidationError, match="not in the catalogue"):
            self.alias("gpt-4o", "nothing")

    def test_it_may_be_saved_again(self) -> None:
        make()
        alias = self.alias("gpt-4o", "llama3.2")
        alias.note = "for the chat app"
        alias.full_clean()

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bridge import catalogue
from bridge.catalogue import Catalogue
from scheduler.models import Alias, CatalogModel, ModelOnNode, Node

pytestmark = pytest.mark.django_db

OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


def everything(name: str) -> bool:
    return True


def node(name: str, **fields: Any) -> Node:
    return Node.objects.create(name=name, url=f"http://{name}:11434", **fields)


def model(name: str, **fields: Any) -> CatalogModel:
    return CatalogModel.objects.create(
        **{"name": name, "capabilities": ["completion"], "trained_ctx": 131072} | fields
    )


def hold(where: Node, what: CatalogModel, digest: str = "d1", **fields: Any) -> ModelOnNode:
    defaults = {"size_bytes": 5, "modified_at": OLD, "seen_at": NEW, "capabilities": what.capabilities}
    return ModelOnNode.objects.create(node=where, model=what, digest=digest, **defaults | fields)


@pytest.fixture
def llama() -> CatalogModel:
    llama = model("llama3.2:latest")
    hold(node("a"), llama)
    return llama


@pytest.mark.parametrize("spelling", ["llama3.2", "llama3.2:latest", "Llama3.2", "library/llama3.2"])
def test_every_spelling_of_a_name_means_one_model(llama: CatalogModel, spelling: str) -> None:
    entry = catalogue.read().resolve(spelling)
    assert entry is not None
    assert entry.name == "llama3.2:latest"


def test_an_alias_means_the_model_at_the_end_of_its_chain(llama: CatalogModel) -> None:
    Alias.objects.create(name="gpt-4o:latest", model="fast:latest")
    Alias.objects.create(name="fast:latest", model="llama3.2:latest")
    found = catalogue.read()
    entry = found.resolve("gpt-4o")
    assert entry is not None
    assert (entry.name, entry.listed) == ("llama3.2:latest", "gpt-4o:latest")
    assert [e.listed for e in found.visible(everything)] == [
        "fast:latest",
        "gpt-4o:latest",
        "llama3.2:latest",
    ]


def test_an_alias_that_leads_nowhere_or_in_a_circle_is_no_model(llama: CatalogModel) -> None:
    Alias.objects.bulk_create(
        [
            Alias(name="a:latest", model="b:latest"),
            Alias(name="b:latest", model="a:latest"),
            Alias(name="c:latest", model="gone:latest"),
        ]
    )
    found = catalogue.read()
    assert [found.resolve(name) for name in "abc"] == [None] * 3


def test_a_model_wins_over_an_alias_of_its_name(llama: CatalogModel) -> None:
    other = model("qwen3:8b")
    hold(Node.objects.get(), other, "d2")
    Alias.objects.create(name="llama3.2:latest", model="qwen3:8b")
    Alias.objects.create(name="fast:latest", model="llama3.2:latest")
    entries = [catalogue.read().resolve(name) for name in ("llama3.2", "fast")]
    assert [entry.name for entry in entries if entry] == ["llama3.2:latest", "llama3.2:latest"]


def test_the_digest_of_most_nodes_is_what_the_name_means() -> None:
    qwen = model("qwen3:8b")
    for name, digest in (("a", "new"), ("b", "old"), ("c", "old")):
        hold(node(name), qwen, digest, modified_at=NEW if digest == "new" else OLD)
    entry = catalogue.read().entries["qwen3:8b"]
    assert (entry.digest, entry.nodes, entry.drifted) == ("old", ("b", "c"), {"a": "new"})


def test_between_equals_the_newest_digest_wins() -> None:
    qwen = model("qwen3:8b")
    hold(node("a"), qwen, "old", modified_at=OLD)
    hold(node("b"), qwen, "new", modified_at=NEW)
    assert catalogue.read().entries["qwen3:8b"].nodes == ("b",)


def test_a_disabled_node_holds_nothing(llama: CatalogModel) -> None:
    Node.objects.update(enabled=False)
    assert catalogue.read().entries == {}


def test_a_disabled_model_is_told_from_an_unknown_one(llama: CatalogModel) -> None:
    CatalogModel.objects.update(enabled=False)
    found = catalogue.read()
    assert found.resolve("llama3.2") is None
    assert found.absence("llama3.2", everything).kind == "disabled"
    assert found.absence("llama3.2", lambda name: False).kind == "unknown"


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "minimax-m2:cloud"])
def test_cloud_names_are_refused_unless_allowed(settings: LazySettings, name: str) -> None:
    hold(node("a"), model(name), remote_host="https://ollama.com")
    found = catalogue.read()
    assert found.resolve(name) is None
    assert found.absence(name, everything).kind == "cloud"
    assert found.visible(everything) == []
    settings.ALLOW_CLOUD = True
    entry = catalogue.read().resolve(name)
    assert entry is not None
    assert entry.remote


def test_a_stub_under_an_innocent_name_is_refused_as_well() -> None:
    hold(node("a"), model("assistant:latest"), remote_host="https://ollama.com")
    assert catalogue.read().resolve("assistant") is None


def test_a_slip_of_the_pen_gets_near_names_that_the_key_may_use(llama: CatalogModel) -> None:
    hold(Node.objects.get(), model("llama3.3:latest"), "d2")
    found = catalogue.read()
    absence = found.absence("llama3.1", lambda name: name != "llama3.3:latest")
    assert (absence.kind, absence.close) == ("unknown", ("llama3.2",))
    assert absence.sentence == "model 'llama3.1' not found. Did you mean llama3.2?"


def test_what_is_no_name_is_said_to_be_none(llama: CatalogModel) -> None:
    assert catalogue.read().resolve("no such/ thing!") is None
    assert catalogue.read().absence("no such/ thing!", everything).kind == "bad_name"


@pytest.mark.parametrize(
    ("may_use", "listed"),
    [
        (everything, ["fast:latest", "llama3.2:latest"]),
        (lambda name: name == "llama3.2:latest", ["fast:latest", "llama3.2:latest"]),
        (lambda name: name == "fast:latest", ["fast:latest"]),
        (lambda name: False, []),
    ],
)
def test_lists_show_what_the_key_may_use(
    llama: CatalogModel, may_use: Callable[[str], bool], listed: list[str]
) -> None:
    Alias.objects.create(name="fast:latest", model="llama3.2:latest")
    assert [entry.listed for entry in catalogue.read().visible(may_use)] == listed


def test_context_and_slots_follow_policy_node_and_training(settings: LazySettings) -> None:
    settings.DEFAULT_NUM_CTX, settings.DEFAULT_SLOTS = 8192, 2
    wide = node("wide", slots=4)
    hold(wide, model("small:latest", trained_ctx=2048))
    hold(wide, model("set:latest", num_ctx=16384, num_ctx_max=32768, slots=3), "d2")
    hold(node("plain"), CatalogModel.objects.get(name="set:latest"), "d2")
    hold(wide, model("embed:latest", capabilities=["embedding"]), "d3")
    entries = catalogue.read().entries
    assert (entries["small:latest"].num_ctx, entries["small:latest"].num_ctx_max) == (2048, 2048)
    assert (entries["set:latest"].num_ctx, entries["set:latest"].num_ctx_max) == (16384, 32768)
    assert entries["set:latest"].slots == {"wide": 3, "plain": 2}
    assert entries["embed:latest"].slots == {"wide": 1}
    assert entries["embed:latest"].can("embedding")
    assert not entries["embed:latest"].can("completion")


def test_four_queries_read_it_however_many_models(llama: CatalogModel) -> None:
    for number in range(20):
        hold(Node.objects.get(), model(f"m{number}:latest"), f"d{number}")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert len(catalogue.read().entries) == 21
    assert len(queries) == 4


@pytest.mark.django_db(transaction=True)
def test_a_write_reaches_the_keeper(llama: CatalogModel) -> None:
    keeper = catalogue.keeper()
    keeper.refresh()
    assert not keeper.refresh()
    llama.num_ctx = 4096
    llama.save()
    assert keeper.refresh()
    assert keeper.value.entries["llama3.2:latest"].num_ctx == 4096


def test_an_empty_catalogue_answers_as_well() -> None:
    assert Catalogue().resolve("llama3.2") is None
    assert Catalogue().absence("llama3.2", everything).close == ()

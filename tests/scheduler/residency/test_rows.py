"""What the database says, as the policy gets to see it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from scheduler.models import CatalogModel, Measurement, ModelOnNode, Node, PinningPolicy
from scheduler.policy.state import Footprint, Pin
from scheduler.residency import rows
from scheduler.residency.fleet import Fleet
from scheduler.residency.publication import published
from scheduler.residency.survey import survey

pytestmark = pytest.mark.django_db

LLAMA = {
    "model_info": {
        "general.architecture": "llama",
        "llama.block_count": 32,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
        "llama.embedding_length": 4096,
        "llama.context_length": 131072,
    }
}


def node(name: str, **fields: Any) -> Node:
    return Node.objects.create(name=name, url=f"http://{name}:11434", **fields)


def model(name: str, *nodes: Node, digest: str = "d", **fields: Any) -> CatalogModel:
    copy = {"size_bytes": 5_000, "show": LLAMA, "seen_at": timezone.now(), "capabilities": ["completion"]}
    copy |= {key: fields.pop(key) for key in list(fields) if key in ("show", "remote_host")}
    entry = CatalogModel.objects.create(name=name, trained_ctx=131072, **fields)
    for each in nodes:
        ModelOnNode.objects.create(node=each, model=entry, digest=digest, **copy)
    return entry


def test_nodes_and_models_that_are_switched_off_are_left_out() -> None:
    n1, n2 = node("n1", slots=4, vram_bytes=24), node("n2", enabled=False)
    model("a:latest", n1, n2)
    model("b:latest", n1, enabled=False)
    model("c:latest")
    read = rows.read()
    assert list(read.nodes) == ["n1"]
    assert (read.nodes["n1"].slots, read.nodes["n1"].vram_bytes) == (4, 24)
    assert list(read.models) == ["a:latest"]
    assert read.models["a:latest"].digests == {"n1": "d"}
    assert read.models["a:latest"].shape is not None


def test_what_an_operator_decides_reaches_the_policy() -> None:
    n1 = node("n1", slots=4)
    model("a:latest", n1, num_ctx=4096, num_ctx_max=16384, buckets=[4096, 16384], slots=2, on_spill="refuse")
    found = rows.read().models["a:latest"]
    assert (found.num_ctx, found.trained_ctx, found.buckets) == (4096, 16384, (4096, 16384))
    assert (found.max_slots, found.may_spill) == (2, False)


def test_families_that_ollama_runs_serially_have_one_slot() -> None:
    n1 = node("n1", slots=4)
    model("a:latest", n1, family="qwen3vl")
    model("e:latest", n1, capabilities=["embedding"])
    read = rows.read()
    assert read.models["a:latest"].max_slots == read.models["e:latest"].max_slots == 1
    assert read.embedding == {"e:latest"}


def test_without_a_readable_shape_the_weights_count() -> None:
    model("a:latest", node("n1"), show={})
    found = rows.read().models["a:latest"]
    assert (found.shape, found.weights_bytes) == (None, 5_000)


def test_pins_come_from_policies_in_force_and_from_entries() -> None:
    n1 = node("n1")
    model("a:latest", n1, min_replicas=1)
    model("b:7b", n1)
    PinningPolicy.objects.create(
        name="office",
        model="b:*",
        nodes="n*",
        priority=5,
        windows=[{"days": ["mon"], "from": "08:00", "to": "18:00"}],
    )
    PinningPolicy.objects.create(name="off", model="*", enabled=False)
    read = rows.read()
    monday = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
    entry = Pin(model="a:latest", name="the catalogue entry a:latest")
    assert read.pins(monday + 86400) == [entry]
    assert read.pins(monday) == [
        Pin(model="b:7b", nodes=frozenset({"n1"}), priority=5, name="office"),
        entry,
    ]


def test_measurements_of_several_nodes_make_one_footprint() -> None:
    for name, size in (("n1", 100), ("n2", 110)):
        node(name)
        Measurement.objects.learn(
            node=name,
            digest="d",
            num_ctx=4096,
            slots=2,
            kv_type="f16",
            size_bytes=size,
            size_vram=size - 30,
            load_s=size / 10,
        )
    read = rows.read()
    measured = read.footprints[Footprint("d", 4096, 2, "f16")]
    assert (measured.bytes, measured.samples) == (110, 2)
    assert measured.error == pytest.approx(10 / 110)
    assert read.load_s == {("n1", "d"): 10.0, ("n2", "d"): 11.0}


def test_readings_are_free_bytes_with_their_moment() -> None:
    at = timezone.now()
    node("n1").read_gpus([{"total": 10, "free": 4}, {"total": 10, "free": 3}], at)
    node("n2")
    assert rows.readings() == {"n1": rows.Reading(free_bytes=7, at=at.timestamp())}


class TestModelsThatNodesForward:
    def test_they_are_nothing_to_load(self) -> None:
        model("big:cloud", node("n1"))
        model("stub:latest", Node.objects.get(), remote_host="https://ollama.com:443")
        read = rows.read()
        assert (dict(read.models), read.stubs) == ({}, ())

    @pytest.mark.asyncio
    async def test_where_allowed_they_are_published_on_nodes_that_answer(self) -> None:
        stubs = (
            rows.Stub(node="n1", model="big:cloud", num_ctx=131072),
            rows.Stub(node="n2", model="big:cloud", num_ctx=131072),
        )
        row = {"pk": 1, "url": "http://127.0.0.1:1"}
        known = rows.Rows(nodes={n: rows.NodeRow(name=n, **row) for n in ("n1", "n2")}, stubs=stubs)  # type: ignore[arg-type]
        fleet: Fleet = await survey(known, {})
        fleet.sights["n1"].answered()
        (shown,) = published(fleet)
        assert (shown.node, shown.model, shown.num_ctx, dict(shown.options)) == (
            "n1",
            "big:cloud",
            131072,
            {},
        )

    def test_they_are_read_where_allowed(self, settings: LazySettings) -> None:
        settings.ALLOW_CLOUD = True
        model("big:cloud", node("n1"))
        assert rows.read().stubs == (rows.Stub(node="n1", model="big:cloud", num_ctx=131072),)

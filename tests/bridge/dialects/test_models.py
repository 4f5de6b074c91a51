"""Lists of models as the official clients see them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import anthropic
import httpx
import httpx2
import ollama
import openai
import orjson

from bridge.dialects import models
from bridge.dialects.models import Model, Resident

AT = datetime(2026, 8, 21, 18, 48, 22, tzinfo=UTC)
DETAILS = {"family": "llama", "format": "gguf", "parameter_size": "3B", "quantization_level": "Q4_K_M"}
LLAMA = Model(
    name="llama3.2:latest",
    modified_at=AT,
    size=2_000_000_000,
    digest="ab" * 32,
    details=DETAILS,
    capabilities=("completion", "tools"),
)
QWEN = Model(name="hf.co/bartowski/qwen:q4")


def answering(body: bytes) -> Callable[[httpx2.Request], httpx2.Response]:
    return lambda _: httpx2.Response(200, content=body, headers={"content-type": "application/json"})


def openai_client(body: bytes) -> openai.OpenAI:
    client = httpx2.Client(transport=httpx2.MockTransport(answering(body)))
    return openai.OpenAI(base_url="http://bridge/v1", api_key="k", http_client=client)


def ollama_client(body: bytes) -> ollama.Client:
    return ollama.Client(
        host="http://bridge", transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    )


def test_openais_client_lists_models() -> None:
    found = openai_client(models.openai_list([LLAMA, QWEN])).models.list().data
    assert [model.id for model in found] == ["llama3.2:latest", "hf.co/bartowski/qwen:q4"]
    assert [model.owned_by for model in found] == ["library", "bartowski"]
    assert [model.created for model in found] == [int(AT.timestamp()), 0]


def test_an_unknown_time_is_one_that_clients_can_read() -> None:
    (found,) = ollama_client(models.ollama_tags([QWEN])).list().models
    assert found.modified_at is not None
    assert found.modified_at.year == 1


def test_openais_client_gets_one_model() -> None:
    assert openai_client(models.openai_one(LLAMA)).models.retrieve("llama3.2:latest").id == "llama3.2:latest"


def test_anthropics_client_reads_the_same_list() -> None:
    client = httpx2.Client(transport=httpx2.MockTransport(answering(models.openai_list([LLAMA]))))
    page = anthropic.Anthropic(base_url="http://bridge", api_key="k", http_client=client).models.list()
    assert [(model.id, model.display_name, model.created_at) for model in page] == [
        ("llama3.2:latest", "llama3.2:latest", AT)
    ]


def test_an_empty_list_is_a_list() -> None:
    assert orjson.loads(models.openai_list([]))["data"] == []
    assert list(openai_client(models.openai_list([])).models.list()) == []
    assert ollama_client(models.ollama_tags([])).list().models == []


def test_ollamas_client_lists_models() -> None:
    (found,) = ollama_client(models.ollama_tags([LLAMA])).list().models
    assert (found.model, found.size, found.digest) == ("llama3.2:latest", 2_000_000_000, "ab" * 32)
    assert found.modified_at == AT
    assert found.details is not None
    assert found.details.quantization_level == "Q4_K_M"
    assert orjson.loads(models.ollama_tags([LLAMA]))["models"][0]["capabilities"] == ["completion", "tools"]


def test_what_stays_longest_is_first() -> None:
    def resident(name: str, hour: int) -> Resident:
        until = AT.replace(hour=hour)
        return Resident(name=name, size=9, size_vram=8, digest="ab", expires_at=until, context_length=4096)

    found = ollama_client(models.ollama_ps([resident("a", 19), resident("b", 20)])).ps().models
    assert [model.model for model in found] == ["b", "a"]
    assert (found[0].size, found[0].size_vram, found[0].context_length) == (9, 8, 4096)


def test_show_has_what_clients_fail_without_and_keeps_what_the_node_said() -> None:
    shown = {"model_info": {"general.architecture": "llama"}, "license": "MIT", "template": None}
    found = ollama_client(models.ollama_show(shown, LLAMA)).show("llama3.2")
    assert found.modelinfo == {"general.architecture": "llama"}
    assert found.license == "MIT"
    assert found.template == ""
    assert found.capabilities == ["completion", "tools"]
    assert ollama_client(models.ollama_show({}, QWEN)).show("x").modelinfo == {}

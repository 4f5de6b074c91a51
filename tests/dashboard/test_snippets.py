from __future__ import annotations

import ast
import json
import shlex

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from bridge.models import Actor, ApiKey
from dashboard import firstuse
from dashboard.snippets import PLACEHOLDER, Snippet, snippets
from scheduler.models import CatalogModel

KEY = "obk_ab12cd34_" + "x" * 49
models = st.text(min_size=1, max_size=40).filter(lambda text: "\0" not in text and text.isprintable())


def by_id(found: list[Snippet]) -> dict[str, str]:
    return {snippet.id: snippet.text for snippet in found}


@given(models, st.sampled_from([["chat"], ["embed"], ["admin"]]), st.sampled_from([KEY, PLACEHOLDER]))
def test_every_snippet_parses_whatever_the_model_is_called(model: str, scopes: list[str], key: str) -> None:
    found = by_id(snippets(url="https://llm.example", key=key, model=model, scopes=scopes))
    words = shlex.split(found["curl"].replace("\\\n", " "))
    body = json.loads(words[words.index("-d") + 1])
    assert body["model"] == model
    for name in ("openai", "anthropic", "ollama"):
        if name in found:
            nodes = ast.walk(ast.parse(found[name]))
            assert model in [node.value for node in nodes if isinstance(node, ast.Constant)]


def test_the_address_and_the_key_are_where_each_client_wants_them() -> None:
    found = by_id(snippets(url="https://llm.example", key=KEY, model="llama3.2", scopes=["chat"]))
    assert 'base_url="https://llm.example/v1"' in found["openai"]
    assert 'base_url="https://llm.example"' in found["anthropic"]
    assert f'"Bearer {KEY}"' in found["ollama"]
    assert shlex.split(found["cli"]) == [
        f"OLLAMA_HOST=https://llm.example/k/{KEY}",
        "ollama",
        "run",
        "llama3.2",
    ]


def test_without_the_key_the_snippets_read_it_from_the_environment() -> None:
    found = by_id(snippets(url="https://llm.example", key=PLACEHOLDER, model="llama3.2", scopes=["chat"]))
    assert '"Authorization: Bearer $OLLAMA_BRIDGE_KEY"' in found["curl"]
    for name in ("openai", "anthropic", "ollama"):
        assert found[name].startswith("import os\n")
        assert 'os.environ["OLLAMA_BRIDGE_KEY"]' in found[name]


def test_a_key_that_only_embeds_gets_embeddings() -> None:
    found = by_id(snippets(url="https://llm.example", key=KEY, model="nomic-embed-text", scopes=["embed"]))
    assert "/v1/embeddings" in found["curl"]
    assert "anthropic" not in found


def test_a_key_that_may_neither_gets_the_list_of_models() -> None:
    found = by_id(snippets(url="https://llm.example", key=KEY, model="x", scopes=["models"]))
    assert set(found) == {"curl", "cli"}
    assert "/v1/models" in found["curl"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({}, "llama3.2"),
        ({"allowed_models": ["qwen*"]}, "qwen3:8b"),
        ({"scopes": ["embed"]}, "nomic-embed-text"),
        ({"allowed_models": ["mistral:7b"]}, "mistral:7b"),
        ({"allowed_models": ["phi*"]}, "llama3.2"),
    ],
)
def test_the_example_is_a_model_that_the_key_may_use(
    ann: Actor, fields: dict[str, object], model: str
) -> None:
    for name, capability in (
        ("llama3.2:latest", "completion"),
        ("nomic-embed-text:latest", "embedding"),
        ("qwen3:8b", "completion"),
    ):
        CatalogModel.objects.create(name=name, capabilities=[capability])
    key, _ = ApiKey.objects.issue(actor=ann, name="crawler", **fields)
    assert firstuse.example_model(key) == model


def test_the_address_is_the_one_that_is_set_and_else_the_one_that_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = RequestFactory().get("/admin/")
    assert firstuse.bridge_url(request) == "http://testserver"
    monkeypatch.setitem(firstuse.ENV, "BRIDGE_PUBLIC_URL", "https://llm.example/")
    assert firstuse.bridge_url(request) == "https://llm.example"

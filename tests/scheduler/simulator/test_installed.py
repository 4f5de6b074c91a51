from __future__ import annotations

import re

import pytest

from scheduler.simulator.generation import Generation
from scheduler.simulator.installed import BadModel, normalised, parse_models, valid_name


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("llama3.2", "llama3.2:latest"),
        ("qwen3:8b", "qwen3:8b"),
        ("registry.ollama.ai/library/llama3.2", "llama3.2:latest"),
        ("someone/model", "someone/model:latest"),
        ("host:5000/someone/model", "host:5000/someone/model:latest"),
    ],
)
def test_a_name_without_tag_means_latest(name: str, full: str) -> None:
    assert normalised(name) == full


def test_equal_models_have_equal_digests_on_every_node() -> None:
    first, again, larger = (parse_models(text)["a:latest"] for text in ("a=2", "a=2", "a=3"))
    assert first.digest == again.digest != larger.digest


def test_capabilities_and_context_follow_the_name_and_can_be_stated() -> None:
    models = parse_models("qwen3:8b=5.2,nomic-embed-text=0.27,own=4+vision+tools@8192")
    assert models["qwen3:8b"].capabilities == ("completion", "tools", "thinking")
    assert models["nomic-embed-text:latest"].embeds_only
    assert models["own:latest"].capabilities == ("completion", "vision", "tools")
    assert models["own:latest"].shape.context == 8192


def test_an_alias_shares_the_blob_and_the_manifest() -> None:
    models = parse_models("a=2,b=@a")
    assert models["a:latest"].blob == models["b:latest"].blob
    assert models["a:latest"].digest == models["b:latest"].digest


@pytest.mark.parametrize("text", ["a", "a=", "a=x", "a=2@x", "=2", "b=@a", "a b=2"])
def test_a_bad_statement_of_models_says_so(text: str) -> None:
    with pytest.raises(BadModel, match=re.escape(repr(text))):
        parse_models(text)


def test_names_are_checked() -> None:
    assert valid_name("library/llama3.2:1b-instruct")
    assert not valid_name("no spaces")
    assert not valid_name("../x")


@pytest.mark.parametrize("text", ["", "new", "1", "0.30.x"])
def test_a_bad_version_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version of Ollama"):
        Generation.of(text)


@pytest.mark.parametrize(
    ("version", "own_runner", "cached_count"),
    [
        ("0.24.0", True, False),
        ("v0.30.0-rc1", False, False),
        ("0.33.0", False, False),
        ("0.33.1", False, True),
    ],
)
def test_the_version_decides_the_generation(version: str, own_runner: bool, cached_count: bool) -> None:
    generation = Generation.of(version)
    assert generation.llama_server is not own_runner
    assert generation.cached_count is cached_count

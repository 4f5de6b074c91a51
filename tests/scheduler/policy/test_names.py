"""Names: what Ollama takes for the same model has one form here."""

from __future__ import annotations

import pytest

from scheduler.policy.names import BadName, is_cloud, normalise


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("llama3.2", "llama3.2:latest"),
        ("llama3.2:latest", "llama3.2:latest"),
        ("LLaMA3.2:1B", "llama3.2:1b"),
        ("  qwen3:8b ", "qwen3:8b"),
        ("library/mistral", "mistral:latest"),
        ("registry.ollama.ai/library/mistral:7b", "mistral:7b"),
        ("https://registry.ollama.ai/library/mistral", "mistral:latest"),
        ("registry.ollama.ai/mike/mistral", "mike/mistral:latest"),
        ("mike/mistral:7b", "mike/mistral:7b"),
        ("hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M", "hf.co/unsloth/qwen3-8b-gguf:q4_k_m"),
        ("localhost:5000/library/tiny", "localhost:5000/library/tiny:latest"),
        ("llama3.2:local", "llama3.2:latest"),
        ("llama3.2:1b:local", "llama3.2:1b"),
        ("gpt-oss:cloud", "gpt-oss:cloud"),
        ("gpt-oss:120b-cloud", "gpt-oss:120b-cloud"),
        ("gpt-oss:120b:cloud", "gpt-oss:120b-cloud"),
    ],
)
def test_every_spelling_has_one_normal_form(name: str, normal: str) -> None:
    assert normalise(name) == normal


@pytest.mark.parametrize("name", ["llama3.2:1b", "mike/m:7b", "hf.co/a/b:q4", "a:cloud", "a:7b-cloud"])
def test_the_normal_form_is_its_own_normal_form(name: str) -> None:
    assert normalise(normalise(name)) == normalise(name)


@pytest.mark.parametrize(
    "name",
    ["", " ", ":", "a:", ":7b", "a b", "a/b/c/d", "../x", "a//b", "a:b:c", "é", "x" * 81, "-a", "n.s/m"],
)
def test_what_ollama_does_not_take_is_a_bad_name(name: str) -> None:
    with pytest.raises(BadName):
        normalise(name)


@pytest.mark.parametrize(
    ("name", "cloud"),
    [
        ("gpt-oss:cloud", True),
        ("gpt-oss:120B-Cloud", True),
        ("gpt-oss:120b:cloud", True),
        ("mike/gpt-oss:cloud", True),
        ("gpt-oss:120b", False),
        ("cloud", False),
        ("my-cloud", False),
        ("gpt-oss-cloud:7b", False),
        ("gpt-oss:local", False),
        ("localhost:5000-cloud/library/m", False),
    ],
)
def test_cloud_names_are_told_by_their_last_suffix(name: str, cloud: bool) -> None:
    assert is_cloud(name) is cloud

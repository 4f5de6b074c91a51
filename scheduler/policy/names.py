"""Model names: one normal form for every spelling of a name that Ollama takes for the same model.

Ollama reads `[host/][namespace/]model[:tag]`, fills in `registry.ollama.ai`, `library` and `latest`, and
compares without regard to ASCII case (types/model/name.go). The normal form is the one that `/api/tags`
shows, in lower case: `llama3.2:latest`, `mike/mistral:7b`, `hf.co/unsloth/qwen3-8b-gguf:q4_k_m`.
"""

from __future__ import annotations

import re

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

HOST = re.compile(r"[a-z0-9_][a-z0-9_.:-]{0,349}")
NAMESPACE = re.compile(r"[a-z0-9_][a-z0-9_-]{0,79}")
MODEL = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,79}")


class BadName(ValueError):
    """Not a model name; the message says which part is wrong."""


def normalise(name: str) -> str:
    """The normal form of a model name. Raises BadName."""
    base, source = _source(name.strip().lower())
    host, namespace, model, tag = _parts(base)
    if source == "cloud":
        tag = f"{tag}-cloud" if tag else "cloud"
    place = "" if namespace == DEFAULT_NAMESPACE else f"{namespace}/"
    if host != DEFAULT_HOST:
        place = f"{host}/{namespace}/"
    return f"{place}{model}:{tag or DEFAULT_TAG}"


def is_cloud(name: str) -> bool:
    """Whether a node would forward this name to ollama.com: its suffix is `cloud` or ends in `-cloud`."""
    return _source(name.strip().lower())[1] == "cloud"


def _source(name: str) -> tuple[str, str]:
    """The name without its source suffix, and 'cloud', 'local' or ''."""
    base, colon, suffix = name.rpartition(":")
    suffix = suffix.strip()
    if not colon or "/" in suffix:
        return name, ""
    if suffix in ("cloud", "local"):
        return base, suffix
    if suffix.endswith("-cloud"):
        return f"{base}:{suffix.removesuffix('-cloud')}", "cloud"
    return name, ""


def _parts(name: str) -> tuple[str, str, str, str]:
    """Host, namespace, model and tag ('' when none is given). Raises BadName."""
    path = name.partition("://")[2] or name
    *places, last = path.rsplit("/", 2)
    host, namespace = [DEFAULT_HOST, DEFAULT_NAMESPACE] if not places else [DEFAULT_HOST, *places][-2:]
    model, colon, tag = last.partition(":")
    for part, text, pattern in (
        ("host", host, HOST),
        ("namespace", namespace, NAMESPACE),
        ("model", model, MODEL),
        ("tag", tag if colon else DEFAULT_TAG, MODEL),
    ):
        if not pattern.fullmatch(text):
            raise BadName(f"{name!r} is not a model name: its {part} {text!r} is not one that Ollama takes.")
    return host, namespace, model, tag

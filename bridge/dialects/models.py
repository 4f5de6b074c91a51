"""Lists of models, for Ollama's and OpenAI's clients, from plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model as a key sees it."""

    name: str
    modified_at: datetime | None = None  # aware; None: unknown
    size: int = 0  # bytes on disk
    digest: str = ""  # sha256 of the manifest, no prefix
    details: Mapping[str, Any] = field(default_factory=dict)  # as a node reports them
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """One loaded model."""

    name: str
    size: int  # bytes in memory
    size_vram: int  # bytes of them in VRAM
    digest: str
    expires_at: datetime  # aware
    context_length: int  # tokens
    details: Mapping[str, Any] = field(default_factory=dict)


def openai_list(models: Iterable[Model]) -> bytes:
    """GET /v1/models, for OpenAI's and Anthropic's clients at once; when empty still a list."""
    data = [_openai(model) for model in models]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return orjson.dumps({"object": "list", "data": data, "has_more": False, **ends})


def openai_one(model: Model) -> bytes:
    """GET /v1/models/{id}."""
    return orjson.dumps(_openai(model))


def ollama_tags(models: Iterable[Model]) -> bytes:
    """GET /api/tags."""
    return orjson.dumps({"models": [_tag(model) for model in models]})


def ollama_ps(residents: Iterable[Resident]) -> bytes:
    """GET /api/ps, the one that stays longest first."""
    ordered = sorted(residents, key=lambda resident: resident.expires_at, reverse=True)
    return orjson.dumps({"models": [_resident(resident) for resident in ordered]})


def ollama_show(shown: Mapping[str, Any], model: Model) -> bytes:
    """POST /api/show: what a node said, with the fields that clients fail without."""
    required = {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": dict(model.details),
        "model_info": {},
        "capabilities": list(model.capabilities),
        "modified_at": _rfc3339(model.modified_at),
    }
    given = {key: value for key, value in shown.items() if value is not None}
    return orjson.dumps(required | given)


def _openai(model: Model) -> dict[str, Any]:
    namespace = model.name.rpartition("/")[0].rpartition("/")[2]
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.modified_at.timestamp()) if model.modified_at else 0,
        "owned_by": namespace or "library",
        "type": "model",
        "display_name": model.name,
        "created_at": _rfc3339(model.modified_at),
    }


def _tag(model: Model) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "name": model.name,
        "model": model.name,
        "modified_at": _rfc3339(model.modified_at),
        "size": model.size,
        "digest": model.digest,
        "details": dict(model.details),
    }
    if model.capabilities:
        shape["capabilities"] = list(model.capabilities)
    return shape


def _resident(resident: Resident) -> dict[str, Any]:
    return {
        "name": resident.name,
        "model": resident.name,
        "size": resident.size,
        "digest": resident.digest,
        "details": dict(resident.details),
        "expires_at": _rfc3339(resident.expires_at),
        "size_vram": resident.size_vram,
        "context_length": resident.context_length,
    }


def _rfc3339(at: datetime | None) -> str:
    if at is None:
        return "0001-01-01T00:00:00Z"  # Go's zero time: what a node writes, and clients can read
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")

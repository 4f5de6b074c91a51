"""What nodes answer, as values. Unknown fields are left alone; a missing one that we need is BadReply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scheduler.policy.names import BadName, normalise


class BadReply(ValueError):
    """The answer lacks what Ollama's answers have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedModel:
    """One line of /api/tags."""

    name: str  # normalised
    digest: str
    size_bytes: int  # on disk
    modified_at: datetime | None
    details: Mapping[str, Any] = field(default_factory=dict)
    remote_host: str = ""  # a stub: calls go there


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownModel:
    """/api/show, without licence and template."""

    capabilities: frozenset[str]
    details: Mapping[str, Any]
    model_info: Mapping[str, Any]  # GGUF metadata; arrays are None without `verbose`
    projector_info: Mapping[str, Any]
    parameters: Mapping[str, str]  # the Modelfile's PARAMETER lines; the last one of a name

    @property
    def architecture(self) -> str:
        return str(self.model_info.get("general.architecture", ""))

    @property
    def trained_ctx(self) -> int | None:
        value = self.model_info.get(f"{self.architecture}.context_length")
        return int(value) if isinstance(value, int | float) else None

    @property
    def needs_verbose(self) -> bool:
        """A number of the architecture hides behind a null array."""
        prefix = f"{self.architecture}."
        return any(key.startswith(prefix) and value in (None, []) for key, value in self.model_info.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningModel:
    """One line of /api/ps. A model that is still loading is not there yet."""

    name: str  # normalised; of several names of one GGUF, the one that loaded it
    digest: str
    size_bytes: int  # in memory, all in all
    size_vram: int  # bytes on GPUs; size_bytes when nothing lies in host memory
    num_ctx: int | None  # tokens of each slot; None before Ollama 0.10
    expires_at: datetime | None

    @property
    def spilled_bytes(self) -> int:
        return max(self.size_bytes - self.size_vram, 0)


def read_version(reply: object) -> str:
    return str(_field(_object(reply), "version", str))


def read_tags(reply: object) -> list[TaggedModel]:
    """Models with names that no request could carry are left out."""
    return [model for line in _lines(reply) if (model := _tagged(line)) is not None]


def read_ps(reply: object) -> list[RunningModel]:
    return [
        RunningModel(
            name=_name(line) or str(line.get("name")),
            digest=_digest(line),
            size_bytes=_field(line, "size", int),
            size_vram=int(line.get("size_vram") or 0),  # left out when 0
            num_ctx=line.get("context_length") or None,
            expires_at=_moment(line.get("expires_at")),
        )
        for line in _lines(reply)
    ]


def read_show(reply: object) -> ShownModel:
    shown = _object(reply)
    return ShownModel(
        capabilities=_capabilities(shown),
        details=_mapping(shown, "details"),
        model_info=_mapping(shown, "model_info"),
        projector_info=_mapping(shown, "projector_info"),
        parameters=_parameters(shown.get("parameters")),
    )


def _tagged(line: Mapping[str, Any]) -> TaggedModel | None:
    name = _name(line)
    if name is None:
        return None
    return TaggedModel(
        name=name,
        digest=_digest(line),
        size_bytes=_field(line, "size", int),
        modified_at=_moment(line.get("modified_at")),
        details=_mapping(line, "details"),
        remote_host=str(line.get("remote_host") or ""),
    )


def _capabilities(shown: Mapping[str, Any]) -> frozenset[str]:
    """As stated; nodes before 0.6.4 state none, and then by the rules by which later ones find them."""
    stated = shown.get("capabilities")
    if isinstance(stated, list):
        return frozenset(map(str, stated))
    if any(key.endswith(".pooling_type") for key in _mapping(shown, "model_info")):
        return frozenset({"embedding"})
    template = str(shown.get("template") or "")
    found = {"completion"}
    found |= {"tools"} if ".Tools" in template else set()
    found |= {"insert"} if ".Suffix" in template else set()
    found |= {"vision"} if shown.get("projector_info") else set()
    return frozenset(found)


def _parameters(text: object) -> dict[str, str]:
    lines = (line.split(None, 1) for line in str(text or "").splitlines())
    return {parts[0]: parts[1].strip() for parts in lines if len(parts) == 2}


def _object(reply: object) -> Mapping[str, Any]:
    if not isinstance(reply, dict):
        raise BadReply(f"not a JSON object but {type(reply).__name__}")
    return reply


def _lines(reply: object) -> list[Mapping[str, Any]]:
    """`models`: null is none."""
    models = _object(reply).get("models", ...)
    if models is None:
        return []
    if not isinstance(models, list):
        raise BadReply("no list of models in it")
    return [_object(line) for line in models]


def _name(line: Mapping[str, Any]) -> str | None:
    try:
        return normalise(str(line.get("model") or line.get("name") or ""))
    except BadName:
        return None


def _digest(line: Mapping[str, Any]) -> str:
    return str(_field(line, "digest", str)).removeprefix("sha256:")


def _field(line: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    value = line.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadReply(f"{name!r} is {type(value).__name__}, not {kind.__name__}")
    return value


def _mapping(line: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = line.get(name)
    return value if isinstance(value, dict) else {}


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None

"""The models on a node's disk, and how the command line states them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scheduler.simulator.shapes import Shape, family_of, shape_of

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+){0,2}(:[A-Za-z0-9_][\w.-]*)?")
SERIAL_FAMILIES = frozenset(
    (
        "mllama",
        "qwen3vl",
        "qwen3vlmoe",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "nemotron_h_omni",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """One name in the model store. Names of one `blob` share one runner, as in Ollama."""

    name: str  # with tag
    digest: str  # of the manifest, hex
    blob: str  # of the weights, hex
    size: int  # bytes on disk
    shape: Shape
    parameter_size: str
    capabilities: tuple[str, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)  # the Modelfile's PARAMETER lines
    system: str = ""
    template: str = "{{ .Prompt }}"
    quantization: str = "Q4_K_M"
    adapter: str = ""  # a LoRA's blob; another one means a reload

    @property
    def path(self) -> str:
        """Where the weights lie; Ollama breaks ties between runners by it."""
        return f"/var/lib/ollama/blobs/sha256-{self.blob}"

    @property
    def embeds_only(self) -> bool:
        return "completion" not in self.capabilities

    @property
    def serial(self) -> bool:
        """Whether Ollama forces one slot whatever OLLAMA_NUM_PARALLEL says."""
        return self.embeds_only or self.shape.architecture in SERIAL_FAMILIES


class BadModel(ValueError):
    """A model is stated in a form that cannot be read; the message says what it takes."""


def normalised(name: str) -> str:
    """`llama3.2` is `llama3.2:latest`; the library's own prefix is dropped, as Ollama shows names."""
    name = name.removeprefix("registry.ollama.ai/").removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def valid_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def new_model(
    name: str, size: int, *, capabilities: tuple[str, ...] = (), context: int = 0
) -> InstalledModel:
    """A model as its name and its bytes suggest; equal names and sizes give equal digests on every node."""
    name = normalised(name)
    family = family_of(name.rpartition("/")[2])
    parameters, shape = shape_of(family, size)
    if context:
        shape = replace(shape, context=context)
    return InstalledModel(
        name=name,
        digest=sha256(f"manifest {name} {size}"),
        blob=sha256(f"weights {name} {size}"),
        size=size,
        shape=shape,
        parameter_size=parameters,
        capabilities=capabilities or family.capabilities,
    )


def parse_models(text: str) -> dict[str, InstalledModel]:
    """Read `NAME=GB[+CAPABILITY…][@CONTEXT]` or `ALIAS=@NAME`, separated by commas.

    GB are 10^9 bytes of weights; capabilities replace those that the name suggests
    (`completion` is added unless `embedding` is named). Raises BadModel.
    """
    models: dict[str, InstalledModel] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, rest = part.partition("=")
        if not rest or not valid_name(name):
            raise BadModel(f"{part!r} is not NAME=GB[+CAPABILITY][@CONTEXT] or ALIAS=@NAME")
        if rest.startswith("@"):
            target = models.get(normalised(rest[1:]))
            if target is None:
                raise BadModel(f"{part!r} is an alias of a model that is not stated before it")
            models[normalised(name)] = replace(target, name=normalised(name))
        else:
            models[normalised(name)] = _parse_one(name, rest, part)
    return models


def _parse_one(name: str, rest: str, part: str) -> InstalledModel:
    rest, _, context = rest.partition("@")
    gigabytes, *capabilities = rest.split("+")
    if capabilities and "embedding" not in capabilities:
        capabilities = ["completion", *(c for c in capabilities if c != "completion")]
    try:
        size = int(float(gigabytes) * 1e9)
        return new_model(name, size, capabilities=tuple(capabilities), context=int(context or 0))
    except ValueError:
        raise BadModel(f"{part!r} has a size or context that is not a number") from None

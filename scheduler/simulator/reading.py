"""What the fields of an inference request mean, and Ollama's refusals of those that it cannot take."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import orjson

from scheduler.simulator.decode import BadRequest, Body, LateRefusal
from scheduler.simulator.durations import BadDuration, keep_alive_seconds
from scheduler.simulator.errors import not_found
from scheduler.simulator.events import Kind
from scheduler.simulator.installed import InstalledModel
from scheduler.simulator.options import WrongOption, check_options
from scheduler.simulator.simulator import Simulator

_THINK_LEVELS = ("low", "medium", "high", "max")
_NO_IMAGES = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"


def require(sim: Simulator, name: str) -> InstalledModel:
    model = sim.find(name)
    if model is None:
        raise BadRequest(404, not_found(name))
    return model


def require_capabilities(model: InstalledModel, wanted: Sequence[str], no_completion: str) -> None:
    """Raise BadRequest when the model lacks one; `no_completion` is what is said of the first need."""
    missing = [capability for capability in wanted if capability not in model.capabilities]
    if "completion" in missing:
        raise BadRequest(400, no_completion)
    if missing:
        full = model.name if "/" in model.name else f"library/{model.name}"
        raise BadRequest(400, f"registry.ollama.ai/{full} does not support {' '.join(missing)}")


def read_keep_alive(body: Body) -> float | None:
    try:
        return keep_alive_seconds(body.get("keep_alive"))
    except BadDuration as error:
        raise BadRequest(400, str(error)) from None


def read_options(body: Body) -> dict[str, Any]:
    try:
        return check_options(body.get("options", {}))
    except WrongOption as error:
        raise BadRequest(500, str(error)) from None


def top_logprobs(body: Body) -> int | None:
    """How many rivals each token is listed with; None when no log probabilities are wanted."""
    top = body.get("top_logprobs", 0)
    if not 0 <= top <= 20:
        raise BadRequest(400, "top_logprobs must be between 0 and 20")
    return int(top) if body.get("logprobs") else None


def kind_of(*, empty: bool, keep_alive: float | None) -> Kind:
    if not empty:
        return Kind.GENERATE
    return Kind.UNLOAD if keep_alive == 0 else Kind.LOAD


def thinks(body: Body, model: InstalledModel, *, unloads: bool) -> bool:
    """Whether the answer thinks first: models that can do so do it unless told not to."""
    think = body.get("think")
    if think is not None and not isinstance(think, bool) and think not in _THINK_LEVELS:
        raise BadRequest(400, _bad_think(think))
    if "thinking" in model.capabilities:
        return think is None or bool(think)
    if think and not unloads:
        raise BadRequest(400, f'"{body["model"]}" does not support thinking')
    return False


def _bad_think(think: object) -> str:
    levels = '"high", "medium", "low", "max", true, or false'
    if isinstance(think, str):
        return f'invalid think value: "{think}" (must be {levels})'
    return f"think must be a boolean or string ({levels})"


def check_format(body: Body) -> object:
    """The `format` that binds the answer, or None. Raises BadRequest when it is neither json nor a schema."""
    form = body.get("format")
    if form in (None, ""):
        return None
    if form == "json" or isinstance(form, dict):
        return form
    given = orjson.dumps(orjson.dumps(form).decode()).decode()
    text = f'invalid format: {given}; expected "json" or a valid JSON Schema object'
    raise LateRefusal(500, text) if body.get("stream", True) else BadRequest(500, text)


def count_images(sim: Simulator, model: InstalledModel, images: object) -> int:
    """How many images the model sees. Raises BadRequest for bad base64.

    A model that cannot see takes no notice of them before 0.30, and refuses them since.
    """
    if not isinstance(images, list) or not images:
        return 0
    for image in images:
        try:
            b64decode(image, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise BadRequest(400, "illegal base64 data at input byte 0") from None
    if "vision" in model.capabilities:
        return len(images)
    if sim.generation.llama_server:
        raise BadRequest(500, _NO_IMAGES)
    return 0

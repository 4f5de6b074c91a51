"""The options a runner is started with, and when a request's differ so that Ollama reloads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from scheduler.simulator.config import NodeConfig
from scheduler.simulator.installed import InstalledModel

RUNNER_OPTIONS = (
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A runner's options in effect. `*_auto` say that nobody asked for the number."""

    num_ctx: int
    num_ctx_auto: bool
    num_batch: int
    num_batch_auto: bool
    num_gpu: int = -1
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int = 0
    draft_num_predict: int = 0
    shift: bool = True
    adapter: str = ""


def wanted_profile(
    model: InstalledModel, options: Mapping[str, object], shift: bool | None, config: NodeConfig
) -> Profile:
    """What a request asks for: defaults, under the Modelfile's parameters, under the request's options."""
    given = {**model.parameters, **options}
    num_ctx = _number(given.get("num_ctx"), None)
    context = config.default_context if num_ctx is None else num_ctx
    context = max(context, 2048 if "vision" in model.capabilities else 4)
    num_batch = _number(given.get("num_batch"), None)
    modern = config.generation.llama_server
    mmap = given.get("use_mmap")
    return Profile(
        num_ctx=min(context, model.shape.context),
        num_ctx_auto=modern and num_ctx is None and not config.context_length,
        num_batch=512 if num_batch is None else num_batch,
        num_batch_auto=modern and num_batch is None,
        num_gpu=_number(given.get("num_gpu"), -1),
        main_gpu=_number(given.get("main_gpu"), None),
        use_mmap=mmap if isinstance(mmap, bool) else None,
        num_thread=_number(given.get("num_thread"), 0),
        draft_num_predict=_number(given.get("draft_num_predict"), 0),
        shift=_shift(model, shift) if modern else True,
        adapter=model.adapter,
    )


T = TypeVar("T", int, None)


def _number(value: object, otherwise: T) -> int | T:
    return int(value) if isinstance(value, int | float) else otherwise


def _shift(model: InstalledModel, asked: bool | None) -> bool:
    return model.shape.architecture != "deepseek2" if asked is None else asked


def reload_cause(running: Profile, wanted: Profile) -> str | None:
    """The first option by which `wanted` makes Ollama reload a runner, or None (needsReload)."""
    if running.shift != wanted.shift:
        return "shift"
    if running.adapter != wanted.adapter:
        return "adapter"
    if running.num_ctx != wanted.num_ctx and not (running.num_ctx_auto and wanted.num_ctx_auto):
        return "num_ctx"
    if running.num_batch != wanted.num_batch and not (running.num_batch_auto and wanted.num_batch_auto):
        return "num_batch"
    if wanted.num_gpu >= 0 and running.num_gpu != wanted.num_gpu:
        return "num_gpu"
    for name in ("main_gpu", "use_mmap", "num_thread", "draft_num_predict"):
        if getattr(running, name) != getattr(wanted, name):
            return name
    return None

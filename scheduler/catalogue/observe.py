"""What one node says about its models. No rows here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from scheduler.nodes import NodeClient, NodeFailure, RunningModel, ShownModel, TaggedModel

SHOWS_AT_ONCE = 4
LONGEST_ARRAY = 1024  # per-layer arrays have an entry a layer; what is longer is vocabulary
LONGEST_STRING = 100
RUNNER_PARAMETERS = frozenset({"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What /api/show says of a digest, without what nobody needs: that is most of it."""

    capabilities: tuple[str, ...]
    show: Mapping[str, Any]  # model_info, projector_info and parameters
    trained_ctx: int | None  # tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    version: str
    tags: tuple[TaggedModel, ...]
    facts: Mapping[str, Facts]  # by digest; without those whose show failed
    running: tuple[RunningModel, ...] | None
    problems: tuple[str, ...]


async def observe(client: NodeClient, known: MutableMapping[str, Facts]) -> NodeSeen:
    """Read the node. /api/show is asked only for digests not in `known`, which grows. Raises NodeFailure."""
    version = await client.version()
    tags = await client.tags()
    running = await _running(client)
    news = {tag.digest: tag.name for tag in tags if tag.digest not in known}
    turns = asyncio.Semaphore(SHOWS_AT_ONCE)
    problems = await asyncio.gather(*(_learn(client, d, n, known, turns) for d, n in news.items()))
    return NodeSeen(
        version=version,
        tags=tuple(tags),
        facts={tag.digest: known[tag.digest] for tag in tags if tag.digest in known},
        running=running,
        problems=tuple(filter(None, problems)),
    )


async def _running(client: NodeClient) -> tuple[RunningModel, ...] | None:
    """/api/ps waits on locks that a hung runner holds; the catalogue does not depend on it."""
    try:
        return tuple(await client.ps())
    except NodeFailure:
        return None


async def _learn(
    client: NodeClient, digest: str, name: str, known: MutableMapping[str, Facts], turns: asyncio.Semaphore
) -> str:
    """Ask for one digest; the problem met, or ''."""
    async with turns:
        if digest in known:  # another node was quicker
            return ""
        try:
            known[digest] = facts(await client.show(name))
        except NodeFailure as failure:
            return f"{name}: {failure.text}"
    return ""


def facts(shown: ShownModel) -> Facts:
    parameters = {k: v for k, v in shown.parameters.items() if k in RUNNER_PARAMETERS}
    return Facts(
        capabilities=tuple(sorted(shown.capabilities)),
        show={
            "model_info": _numbers(shown.model_info, shown.architecture),
            "projector_info": _numbers(shown.projector_info, ""),
            "parameters": parameters,
        },
        trained_ctx=shown.trained_ctx,
    )


def _numbers(info: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """Of GGUF metadata: the architecture's own keys and general.*; no vocabulary, no texts."""
    return {
        key: value
        for key, value in info.items()
        if key.partition(".")[0] != "tokenizer"
        and (not architecture or _belongs(key, architecture))
        and _small(value)
    }


def _belongs(key: str, architecture: str) -> bool:
    return key.startswith((f"{architecture}.", "general."))


def _small(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= LONGEST_ARRAY and all(isinstance(item, int | float) for item in value)
    return not isinstance(value, dict) and (not isinstance(value, str) or len(value) <= LONGEST_STRING)

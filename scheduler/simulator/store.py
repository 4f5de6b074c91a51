"""The model store's routes: pull, push, create, copy, delete and blobs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from scheduler.simulator.decode import BadRequest, Body, LateRefusal, decode
from scheduler.simulator.errors import not_found
from scheduler.simulator.exchange import NDJSON, PLAIN_JSON, Exchange, go_json
from scheduler.simulator.installed import InstalledModel, normalised, sha256, valid_name
from scheduler.simulator.simulator import Simulator

Progress = dict[str, Any]
_STEPS = 5  # progress lines of one download
_MOST_BLOBS = 1000  # uploads that are remembered
_DIGEST = re.compile(r"sha256[:-][0-9a-f]{64}")


async def pull(sim: Simulator, exchange: Exchange) -> None:
    body = decode(await exchange.body(), "PullRequest")
    asked = body.get("model") or body.get("name") or ""
    name = normalised(sim.local_name(asked, BadRequest(400, "invalid model name")))
    await _progress(exchange, body, _pulling(sim, name))


async def _pulling(sim: Simulator, name: str) -> AsyncIterator[Progress]:
    yield {"status": "pulling manifest"}
    model = sim.find(name) or sim.behaviour.registry.get(name)
    if model is None:
        yield {"error": "pull model manifest: file does not exist"}
        return
    missing = name not in sim.node.models
    for step in range(1, _STEPS + 1):
        if missing:
            await sim.driver.sleep(model.size / sim.behaviour.pull_bytes_per_s / _STEPS)
        yield _layer("pulling", model.blob, model.size, model.size * step // _STEPS)
    yield {"status": "verifying sha256 digest"}
    yield {"status": "writing manifest"}
    sim.node.models[model.name] = model
    yield {"status": "success"}


async def push(sim: Simulator, exchange: Exchange) -> None:
    body = decode(await exchange.body(), "PushRequest")
    name = body.get("model") or body.get("name") or ""
    if not name:
        raise BadRequest(400, "model is required")
    await _progress(exchange, body, _pushing(sim, normalised(name)))


async def _pushing(sim: Simulator, name: str) -> AsyncIterator[Progress]:
    yield {"status": "retrieving manifest"}
    model = sim.find(name)
    if model is None:
        path = f"manifests/registry.ollama.ai/library/{name.replace(':', '/')}"
        yield {"status": "couldn't retrieve manifest"}
        yield {"error": f"open /var/lib/ollama/{path}: no such file or directory"}
        return
    yield _layer("pushing", model.blob, model.size, model.size)
    yield {"status": "pushing manifest"}
    yield {"status": "success"}


def _layer(verb: str, blob: str, total: int, completed: int) -> Progress:
    return {
        "status": f"{verb} {blob[:12]}",
        "digest": f"sha256:{blob}",
        "total": total,
        "completed": completed,
    }


async def create(sim: Simulator, exchange: Exchange) -> None:
    body = decode(await exchange.body(), "CreateRequest")
    name = body.get("model") or body.get("name") or ""
    if not valid_name(name):
        raise BadRequest(400, "invalid model name")
    if not body.get("from") and not body.get("files"):
        raise LateRefusal(400, "neither 'from' or 'files' was specified")
    await _progress(exchange, body, _creating(sim, normalised(name), body))


async def _creating(sim: Simulator, name: str, body: Body) -> AsyncIterator[Progress]:
    base = sim.find(body["from"]) if body.get("from") else _from_files(sim, body["files"])
    if base is None:
        yield {"error": "pull model manifest: file does not exist"}
        return
    model = _derived(base, name, body)
    yield {"status": f"using existing layer sha256:{model.blob}"}
    yield {"status": "writing manifest"}
    sim.node.models[name] = model
    yield {"status": "success"}


def _from_files(sim: Simulator, files: dict[str, str]) -> InstalledModel | None:
    """A model of an uploaded blob; its shape is that of the first installed model."""
    digest = next(iter(files.values()), "").replace("-", ":")
    size = sim.blobs.get(digest)
    like = next(iter(sim.node.models.values()), None)
    if size is None or like is None:
        return None
    return replace(like, blob=digest.removeprefix("sha256:"), size=size)


def _derived(base: InstalledModel, name: str, body: Body) -> InstalledModel:
    """The same weights under another name: a variant has its own manifest but shares the blob."""
    parameters = {**base.parameters, **body.get("parameters", {})}
    system = body.get("system", base.system)
    template = body.get("template", base.template)
    manifest = sha256(f"{base.digest} {sorted(parameters.items())} {system} {template}")
    return replace(base, name=name, digest=manifest, parameters=parameters, system=system, template=template)


async def copy(sim: Simulator, exchange: Exchange) -> None:
    body = decode(await exchange.body(), "CopyRequest")
    names = {"source": body.get("source", ""), "destination": body.get("destination", "")}
    for role, name in names.items():
        if not valid_name(name):
            raise BadRequest(400, f'{role} "{name}" is invalid')
    source = sim.find(names["source"])
    if source is None:
        raise BadRequest(404, f'model "{names["source"]}" not found')
    destination = normalised(names["destination"])
    sim.node.models[destination] = replace(source, name=destination)
    await exchange.empty(200)


async def delete(sim: Simulator, exchange: Exchange) -> None:
    body = decode(await exchange.body(), "DeleteRequest")
    asked = body.get("model") or body.get("name") or ""
    if not asked:
        raise BadRequest(400, "model is required")
    if not valid_name(asked):
        raise BadRequest(400, f'name "{asked}" is invalid')
    model = sim.find(asked)
    if model is None:
        raise BadRequest(404, not_found(asked))
    del sim.node.models[model.name]
    await exchange.empty(200)


async def head_blob(sim: Simulator, exchange: Exchange) -> None:
    digest = _digest(exchange)
    held = {f"sha256:{model.blob}" for model in sim.node.models.values()} | sim.blobs.keys()
    if digest not in held:
        raise BadRequest(404, f'blob "{digest}" not found')
    await exchange.empty(200)


async def create_blob(sim: Simulator, exchange: Exchange) -> None:
    digest = _digest(exchange)
    data = await exchange.body()
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise BadRequest(400, f'digest mismatch, expected "{digest}", got "{found}"')
    known = digest in sim.blobs
    sim.blobs[digest] = len(data)
    if len(sim.blobs) > _MOST_BLOBS:
        del sim.blobs[next(iter(sim.blobs))]
    await exchange.empty(200 if known else 201)


def _digest(exchange: Exchange) -> str:
    digest = exchange.path.rpartition("/")[2]
    if not _DIGEST.fullmatch(digest):
        raise BadRequest(400, "invalid digest format")
    return digest.replace("-", ":")


async def _progress(exchange: Exchange, body: Body, lines: AsyncIterator[Progress]) -> None:
    """Stream the lines, or give the last one when `stream` is false."""
    exchange.watch()
    try:
        if body.get("stream", True):
            await exchange.start(200, NDJSON)
            async for line in lines:
                await exchange.write(go_json(line) + b"\n")
            await exchange.end()
            return
        last: Progress = {}
        async for line in lines:
            last = line
        await exchange.respond(500 if "error" in last else 200, PLAIN_JSON, go_json(last))
    finally:
        exchange.unwatch()

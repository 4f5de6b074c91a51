"""The model-store routes, for keys with scope `manage`: passed on to one node, its bytes untouched."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator

import orjson

from bridge.dialects.inner import NodeFault
from bridge.dialects.ndjson import LastLine, LineTooLong
from bridge.errors import BadInput, NodeFailed, NotAuthorised
from bridge.exchange import Exchange
from bridge.hot.answer import Answer
from bridge.hot.request import HotRequest
from bridge.plane import DataPlane, current
from bridge.relay import ERROR_LINE, failed
from bridge.transport import NodeError, Reply
from scheduler.policy.names import BadName, is_cloud, normalise

log = logging.getLogger(__name__)

DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")
NAMES = ("destination", "model", "name", "source", "from")  # fields of a body that name a model
CHANGES = frozenset({"/api/pull", "/api/create", "/api/copy", "/api/delete"})
KNOWN_S = 5.0
HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length"})


async def forward(request: HotRequest, exchange: Exchange) -> Answer:
    """Send it to the node of the X-Bridge-Node header, or to the only node there is."""
    plane = current()
    assert request.client is not None
    if exchange.endpoint == "/api/blobs/{digest}":
        check_digest(request.path.removeprefix("/api/blobs/"))
    whole = exchange.endpoint != "/api/blobs/{digest}" or request.method == "HEAD"
    if whole:
        check_names(request.payload, plane, exchange)
    node = chosen_node(request, plane)
    headers = [(k, v) for k, v in request.raw_headers if k in (b"content-type", b"content-length", b"accept")]
    try:
        reply = await plane.transport.send(
            plane.origin(node),
            request.method.encode(),
            request.path.encode(),
            headers,
            request.payload if whole else request.client.pieces(),
            first_byte_timeout_s=plane.first_token_timeout_s,
            idle_timeout_s=plane.idle_timeout_s,
        )
    except NodeError as error:
        raise failed(error, before_first_byte=True) from error
    out = [(k, v) for k, v in reply.headers if k not in HOP]
    out += [*exchange.headers(), (b"x-bridge-node", node.encode())]
    return Answer(reply.status, out, passed_on(reply, exchange), on_close=reply.drop)


async def passed_on(reply: Reply, exchange: Exchange) -> AsyncGenerator[bytes, None]:
    last = LastLine()
    try:
        async for chunk in reply:
            last.feed(chunk)
            yield chunk
    except (NodeError, LineTooLong) as error:
        broken = error if isinstance(error, NodeError) else NodeFault(str(error), kind="node_garbage")
        fault: NodeFailed = failed(broken, before_first_byte=False)
        exchange.finish("failed", reason=fault.kind)
        yield orjson.dumps({"error": str(fault)}) + b"\n"
        return
    told = last.line().startswith(ERROR_LINE)  # what goes wrong in mid-stream is said under a 200
    good = reply.status < 400 and not told
    if good and exchange.endpoint in CHANGES:
        await known(exchange.model, exchange.endpoint != "/api/delete")
    reason = "node_error" if told else "node_refused"
    exchange.finish("answered" if good else "failed", reason="" if good else reason, status=reply.status)


def check_digest(text: str) -> None:
    """A path comes decoded: anything but a digest could become another address on its way to the node."""
    if DIGEST.fullmatch(text) is None:
        raise BadInput("The digest must be sha256: and 64 hexadecimal digits.", param="digest")


async def known(model: str, there: bool) -> None:
    """Hold the end of the answer until the catalogue has heard of the change: `ollama pull` is followed by
    `ollama run` at once. The scheduler looks every two seconds; whatever it is, the answer ends."""
    end = time.monotonic() + KNOWN_S
    while (current().catalogue.resolve(model) is not None) != there and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


def check_names(payload: bytes, plane: DataPlane, exchange: Exchange) -> None:
    """A key with model globs manages only what they name; cloud names go nowhere unless allowed."""
    try:
        body = orjson.loads(payload or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadInput(f"The body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise BadInput("The body must be a JSON object.")
    grant = exchange.grant
    assert grant is not None
    for field in NAMES:
        name = body.get(field)
        if not isinstance(name, str) or not name:
            continue
        try:
            normal = normalise(name)
        except BadName as error:
            raise BadInput(str(error), param=field) from None
        exchange.model = exchange.model or normal
        if is_cloud(name) and not plane.allow_cloud:
            raise BadInput(
                f"'{name}' would run at ollama.com, which this bridge does not allow.", param=field
            )
        if not grant.may_use(normal):
            raise NotAuthorised(
                f"This key may not manage the model '{name}'.", status=403, kind="model", param=field
            )


def chosen_node(request: HotRequest, plane: DataPlane) -> str:
    nodes = plane.catalogue.nodes
    wanted = request.header(b"x-bridge-node").decode("latin-1")
    if wanted in nodes:
        return wanted
    names = ", ".join(sorted(nodes)) or "none"
    if wanted:
        raise BadInput(f"There is no node '{wanted}'; there are: {names}.", param="X-Bridge-Node")
    if len(nodes) != 1:
        raise BadInput(
            f"Say which node in the header X-Bridge-Node; there are: {names}.", param="X-Bridge-Node"
        )
    return next(iter(nodes))

"""/metrics: for whoever has the token, or without one for programs on this machine."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from bridge.hot.request import peer
from bridge.views.health import TEXT, respond

PATH = "/metrics"
PROXIED = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via"})
CLOSED = b"/metrics needs a bearer token (BRIDGE_METRICS_TOKEN), or to be asked for from this machine.\n"


async def answer(
    scope: dict[str, Any], receive: Any, send: Any, *, token: str, live: Sequence[Collector]
) -> None:
    """`live`: collectors of what no process counts, asked each time."""
    if not allowed(scope, token):
        await respond(send, scope, 403, TEXT, CLOSED)
        return
    body, content_type = await asyncio.to_thread(page, _header(scope, b"accept").decode("latin-1"), live)
    await respond(send, scope, 200, (b"content-type", content_type.encode()), body)


def allowed(scope: dict[str, Any], token: str) -> bool:
    """With a token set, who has it; else a peer on this machine, and not through a proxy that runs here."""
    if token:
        given = _header(scope, b"authorization")
        return hmac.compare_digest(given, b"Bearer " + token.encode())
    if any(name in PROXIED for name, _ in scope["headers"]):
        return False
    try:
        return ipaddress.ip_address(peer(scope)).is_loopback
    except ValueError:
        return False


def page(accept: str, live: Sequence[Collector]) -> tuple[bytes, str]:
    """Every series of every web process, and its content type. It reads files: not for the event loop."""
    encode, content_type = choose_encoder(accept)
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    registry = shared(Path(directory)) if directory else CollectorRegistry()
    for collector in live if directory else (REGISTRY, *live):
        registry.register(collector)
    return encode(registry), content_type


def shared(directory: Path) -> CollectorRegistry:
    """What the web processes wrote down, without what those that ended were doing."""
    for pid in {file.stem.rpartition("_")[2] for file in directory.glob("gauge_live*.db")}:
        if pid.isdigit() and not _runs(int(pid)):
            mark_process_dead(int(pid), str(directory))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))
    return registry


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _header(scope: dict[str, Any], name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")

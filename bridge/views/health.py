"""What probes ask, before any middleware: is the process alive, should it get traffic, is it Ollama."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

PATHS = frozenset({"/", "/livez", "/readyz", "/healthz"})
TEXT = (b"content-type", b"text/plain; charset=utf-8")
JSON = (b"content-type", b"application/json")


class Process(Protocol):
    def not_ready(self) -> list[str]: ...


async def answer(process: Process | None, scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`/` says what Ollama says, since its clients look for that; a browser is sent to the admin."""
    path = scope["path"]
    if path == "/" and wants_page(scope):
        await send({"type": "http.response.start", "status": 302, "headers": [(b"location", b"/admin/")]})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/":
        await respond(send, scope, 200, TEXT, b"Ollama is running")
    elif path == "/livez":
        await respond(send, scope, 200, TEXT, b"ok")
    else:
        reasons = ["starting"] if process is None else process.not_ready()
        body = orjson.dumps({"ready": not reasons, "reasons": reasons})
        await respond(send, scope, 503 if reasons else 200, JSON, body)


def wants_page(scope: dict[str, Any]) -> bool:
    """A browser names text/html; no Ollama client does."""
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


async def respond(
    send: Any, scope: dict[str, Any], status: int, kind: tuple[bytes, bytes], body: bytes
) -> None:
    headers = [kind, (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

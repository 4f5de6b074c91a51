"""Who may call: the Host and Origin checks of Ollama's server."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from urllib.parse import urlsplit

from scheduler.simulator.exchange import Exchange

_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")
_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104  names of an allow list, not an address to bind
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"),
    (b"access-control-allow-headers", b"Authorization,Content-Type,User-Agent,Accept,X-Requested-With"),
    (b"access-control-max-age", b"43200"),
    (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
]


def is_same_origin(origin: bytes, exchange: Exchange) -> bool:
    host = exchange.header(b"host")
    return origin in (b"http://" + host, b"https://" + host)


async def answer_origin(exchange: Exchange, origin: bytes, method: str) -> bool:
    """Refuse a foreign origin, answer a preflight; True when the request goes on."""
    if not origin_allowed(origin):
        await exchange.empty(403)
        return False
    exchange.extra.append((b"access-control-allow-origin", origin))
    if method == "OPTIONS":
        exchange.extra.extend(_PREFLIGHT)
        await exchange.respond(204, b"", b"", chunked=True)
        return False
    exchange.extra.append((b"vary", b"Origin"))
    return True


def origin_allowed(origin: bytes) -> bool:
    parts = urlsplit(origin.decode("latin-1"))
    return parts.scheme in _SCHEMES or parts.hostname in _HOSTS


@lru_cache(maxsize=64)
def host_allowed(value: bytes) -> bool:
    """Whether a Host header is a local name, or an address that is not a public one."""
    host = (urlsplit(f"//{value.decode('latin-1')}").hostname or "").lower()
    if host in ("", "localhost", socket.gethostname().lower()) or host.endswith(_LOCAL_SUFFIXES):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_unspecified

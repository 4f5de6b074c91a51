"""The production server: uvicorn, with every limit said aloud."""

from __future__ import annotations

import signal
import socket
import sys
from typing import Any

import uvicorn

from bridge.env import VALUES as ENV

# Above the 60 s for which nginx and most load balancers keep an idle connection: they must close first.
KEEP_ALIVE_S = 75
# bridge.drain has waited for the API's requests before uvicorn stops; this is for a page of the admin.
GRACE_S = 10


def config(**overrides: Any) -> uvicorn.Config:
    """uvicorn's configuration for the bridge. Its own access log is off: usage records are ours."""
    given: dict[str, Any] = {
        "app": "bridge.asgi:application",
        "host": ENV["BRIDGE_HOST"],
        "port": ENV["BRIDGE_PORT"],
        "http": "httptools",
        "loop": "auto",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,  # bridge.hot.request reads X-Forwarded-For from trusted proxies only
        "server_header": False,
        "date_header": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": GRACE_S,
        "ws_max_size": 65_536,  # browsers only send small requests on the live page
        **tls(),
    }
    return uvicorn.Config(**(given | overrides))


def tls() -> dict[str, Any]:
    """uvicorn's TLS settings; empty for plain HTTP. TLS 1.2 is Python's own lower bound."""
    if not ENV["BRIDGE_TLS_CERTIFICATE"]:
        return {}
    return {
        "ssl_certfile": ENV["BRIDGE_TLS_CERTIFICATE"],
        "ssl_keyfile": ENV["BRIDGE_TLS_KEY"] or None,  # None: the key lies in the same file
        "ssl_ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20",
    }


def listen(host: str, port: int) -> socket.socket:
    """The open socket to serve on. Raises OSError; uvicorn on its own would exit with a traceback."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family, backlog=2048)


def unavailable(host: str, port: int, error: OSError) -> str:
    """What to tell whoever started the server where `listen` failed."""
    return (
        f"Port {port} on {host} cannot be served ({error.strerror}); is another program there? "
        "BRIDGE_PORT chooses another."
    )


def end_well_on_sigterm() -> None:
    """uvicorn raises the signal that ended it once more, under the handler that was there before: an end in
    order is exit status 0."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))

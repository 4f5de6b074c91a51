"""The production server: uvicorn, with every limit said aloud."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import uvicorn

from bridge.env import VALUES as ENV
from bridge.headbounds import BoundedProtocol

# Above the 60 s for which nginx and most load balancers keep an idle connection: they must close first.
KEEP_ALIVE_S = 75
# bridge.drain has waited for the API's requests before uvicorn stops; this is for a page of the admin.
GRACE_S = 10
HAND_OVER = signal.SIGUSR1  # to a web process whose socket another one has too
TICKS_A_LOOK = 10  # uvicorn ticks every 0.1 s


def config(**overrides: Any) -> uvicorn.Config:
    """uvicorn's configuration for the bridge. Its own access log is off: usage records are ours."""
    given: dict[str, Any] = {
        "app": "bridge.asgi:application",
        "host": ENV["BRIDGE_HOST"],
        "port": ENV["BRIDGE_PORT"],
        "http": BoundedProtocol,
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


class WebServer(uvicorn.Server):
    """uvicorn's server, which also ends connections whose head does not come to its end. `up` is called once
    it serves."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._up is not None:
            self._up()

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_A_LOOK == 0:
            before = time.monotonic() - ENV["BRIDGE_HEAD_TIMEOUT"]
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol) and connection.overdue(before):
                    connection.give_up()
        return await super().on_tick(counter)

    def stop_listening(self) -> None:
        """Take no new connection; those that are open go on. Another process has the socket too."""
        for server in self.servers:
            server.close()


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

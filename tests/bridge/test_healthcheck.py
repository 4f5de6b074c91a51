"""`healthcheck` says by its exit code what a container engine asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.management import CommandError, call_command

from bridge.env import VALUES as ENV
from bridge.env import local_url
from tests.serving import free_port


class Handler(BaseHTTPRequestHandler):
    """As a bridge that drains answers."""

    def do_GET(self) -> None:
        live = self.path == "/livez"
        body = b"ok" if live else b'{"ready":false,"reasons":["draining"]}'
        self.send_response(200 if live else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_process_that_drains_is_live_and_gets_no_traffic(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENV, "BRIDGE_PORT", port)
    call_command("healthcheck", live=True)
    with pytest.raises(CommandError, match=r"503: .*draining"):
        call_command("healthcheck")


def test_another_address_may_be_asked(port: int) -> None:
    call_command("healthcheck", url=f"http://127.0.0.1:{port}/livez")
    with pytest.raises(CommandError, match="503"):
        call_command("healthcheck", url=f"http://127.0.0.1:{port}/metrics")


def test_a_process_that_is_gone_does_not_answer() -> None:
    with pytest.raises(CommandError, match="does not answer"):
        call_command("healthcheck", url=f"http://127.0.0.1:{free_port()}/livez")


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.3", "10.0.0.3"), ("[::1]", "[::1]")],
)
def test_a_server_on_every_address_is_asked_on_this_machine(host: str, reached: str) -> None:
    plain = {"BRIDGE_HOST": host, "BRIDGE_PORT": 8080, "BRIDGE_TLS_CERTIFICATE": ""}
    assert local_url(plain) == f"http://{reached}:8080"
    assert local_url(plain | {"BRIDGE_TLS_CERTIFICATE": "server.pem"}) == f"https://{reached}:8080"

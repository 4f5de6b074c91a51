"""Real nginx, with the configuration that ships, before a real bridge."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from bridge import env
from tests.deploy.conftest import Site
from tests.deploy.files import NGINX
from tests.deploy.proxy import Nginx
from tests.serving import PATIENCE_S, PLAIN

HELLO = [{"role": "user", "content": "one two three four"}]


def chat(tokens: int, *, stream: bool = True) -> dict[str, object]:
    return {"model": "llama3.2", "messages": HELLO, "stream": stream, "options": {"num_predict": tokens}}


def through(site: Site, key: str, **options: object) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=site.nginx.url, headers=headers, timeout=PATIENCE_S, **{**PLAIN, **options})


def test_the_first_token_is_at_the_client_long_before_the_last(site: Site) -> None:
    """Were the answer buffered, its first byte would come with its end, after the record was written."""
    with through(site, site.key) as client, client.stream("POST", "/api/chat", json=chat(30)) as reply:
        assert reply.status_code == 200
        lines = reply.iter_lines()
        first = json.loads(next(lines))
        assert site.bridge.records(request_id=reply.headers["x-request-id"]) == []
        rest = [json.loads(line) for line in lines]
    assert not first["done"]
    assert rest[-1]["done"]
    assert len(rest) >= 30


def test_a_stream_is_the_same_bytes_with_nginx_and_without(site: Site) -> None:
    def words(url: str) -> list[str]:
        headers = {"Authorization": f"Bearer {site.key}"}
        reply = httpx.post(f"{url}/api/chat", json=chat(40), headers=headers, timeout=PATIENCE_S, **PLAIN)
        return [json.loads(line)["message"]["content"] for line in reply.text.splitlines()]

    assert words(site.nginx.url) == words(site.bridge.url)


def test_a_stream_may_be_silent_for_as_long_as_the_bridge_waits() -> None:
    given = re.search(r"proxy_read_timeout (\w+);", (NGINX / "bridge.conf").read_text())
    default = {
        setting.name: env.seconds(setting.default) for setting in env.SETTINGS if setting.read is env.seconds
    }
    assert given is not None
    assert env.seconds(given[1]) > default["BRIDGE_DEADLINE"] + default["BRIDGE_FIRST_TOKEN_TIMEOUT"]


def test_the_bound_of_bodies_is_the_bridges_own() -> None:
    given = re.search(r"client_max_body_size (\d+)m;", (NGINX / "http.conf").read_text())
    default = next(setting.default for setting in env.SETTINGS if setting.name == "BRIDGE_BODY_LIMIT")
    assert given is not None
    assert int(given[1]) * 2**20 == env.size(default)


def test_the_bridge_sees_who_asks_and_not_nginx(site: Site) -> None:
    for address, status in (("127.0.0.5", 200), ("127.0.0.6", 403)):
        transport = httpx.HTTPTransport(local_address=address)
        with through(site, site.here, transport=transport) as client:
            assert client.get("/api/tags").status_code == status


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_an_address_that_a_client_claims_is_not_believed(site: Site, header: str) -> None:
    with through(site, site.elsewhere) as client:
        value = "for=203.0.113.9" if header == "Forwarded" else "203.0.113.9"
        assert client.get("/api/tags", headers={header: value}).status_code == 403


def test_a_peer_that_is_no_trusted_proxy_is_not_believed_either(site: Site) -> None:
    """127.0.0.1 is the trusted proxy here; 127.0.0.9 goes past nginx and claims to be one."""
    headers = {"Authorization": f"Bearer {site.elsewhere}", "X-Forwarded-For": "203.0.113.9"}
    for address, status in (("127.0.0.1", 200), ("127.0.0.9", 403)):
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(base_url=site.bridge.url, transport=transport, trust_env=False) as client:
            assert client.get("/api/tags", headers=headers).status_code == status


def test_a_key_in_the_path_works_and_is_in_no_log(site: Site) -> None:
    reply = httpx.post(
        f"{site.nginx.url}/k/{site.key}/api/chat", json=chat(2, stream=False), timeout=PATIENCE_S, **PLAIN
    )
    assert reply.status_code == 200
    site.bridge.until(lambda: "/k/-/api/chat" in site.nginx.logged())
    assert site.key not in site.nginx.logged()


def test_metrics_are_not_for_the_outside(site: Site) -> None:
    assert httpx.get(f"{site.nginx.url}/metrics", **PLAIN).status_code == 404


def test_an_operator_can_sign_in_through_it(site: Site) -> None:
    """Host, Origin and the CSRF cookie survive: the answer is about the password."""
    with httpx.Client(base_url=site.nginx.url, timeout=PATIENCE_S, **PLAIN) as client:
        page = client.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        form = {"username": "nobody", "password": "wrong", "csrfmiddlewaretoken": token[1]}
        reply = client.post("/admin/login/", data=form, headers={"Origin": site.nginx.url})
        assert reply.status_code == 200
        assert "errornote" in reply.text


def test_the_live_pages_websocket_reaches_the_bridge(site: Site) -> None:
    """Nobody is signed in, so the bridge answers the handshake and closes; nginx does not know the path."""

    def handshake(port: int) -> str:
        head = (
            f"GET /ws/live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)) as wire:
            wire.sendall(head.encode())
            return wire.recv(4096).split(b"\r\n")[0].decode()

    assert handshake(site.nginx.ports["8080"]) == handshake(site.bridge.port)


class Replica(ThreadingHTTPServer):
    """A web process as nginx sees it: it answers every request with one status."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.status = status
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Asked(BaseHTTPRequestHandler):
    server: Replica

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@contextmanager
def before(directory: Path, *replicas: Replica) -> Iterator[Nginx]:
    nginx = Nginx(directory / "nginx", [f"127.0.0.1:{replica.server_port}" for replica in replicas])
    with ExitStack() as stack:
        for one in (nginx, *replicas):
            stack.callback(one.close)
        yield nginx.start()


def posted(nginx: Nginx) -> httpx.Response:
    return httpx.post(f"{nginx.url}/api/chat", json=chat(1), timeout=PATIENCE_S, **PLAIN)


def test_a_request_that_meets_a_replica_that_drains_or_is_gone_goes_to_the_other(tmp_path: Path) -> None:
    """What a bridge that drains answers is held by tests/bridge/test_drain.py."""
    drains, well = Replica(503), Replica(200)
    with before(tmp_path, drains, well) as nginx:
        assert [posted(nginx).status_code for _ in range(6)] == [200] * 6
        drains.close()
        assert [posted(nginx).status_code for _ in range(6)] == [200] * 6


def test_a_refusal_of_every_replica_reaches_the_client_as_it_is(tmp_path: Path) -> None:
    """And nginx takes none of them for dead because of it, which would be a 502."""
    with before(tmp_path, Replica(503), Replica(503)) as nginx:
        for _ in range(5):
            reply = posted(nginx)
            assert (reply.status_code, reply.headers["retry-after"]) == (503, "7")


def test_the_containers_own_check_finds_the_bridge_well(site: Site) -> None:
    site.bridge.manage("healthcheck")

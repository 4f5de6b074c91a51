"""A node behind real nginx with TLS, a path and a header of its own, as scheduler and bridge meet it."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from scheduler.simulator.process import NodeProcess
from tests.conftest import QUICK
from tests.deploy.certificates import Authority
from tests.serving import PATIENCE_S, Bridge, copied, free_port

SECRET = "s3cret-of-the-node"
# What a request to the node carried is in the log; /api/embed redirects the data plane (no User-Agent).
CONF = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  log_format asked '$request_uri $http_x_node_key [$http_authorization$http_x_api_key$http_cookie]';
  access_log {folder}/asked.log asked;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    if ($http_x_node_key != "{secret}") {{ return 401 "who are you"; }}
    location = /ollama/api/embed {{
      if ($http_user_agent = "") {{ return 302 http://127.0.0.1:{trap}/; }}
      proxy_pass {node}/api/embed;
    }}
    location /ollama/ {{ proxy_pass {node}/; proxy_buffering off; proxy_http_version 1.1; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    bridge: Bridge
    key: str
    folder: Path
    authority: Authority
    trap: socket.socket  # where the redirect leads: nobody may ever connect

    def chat(self) -> httpx.Response:
        body = {"model": "llama3.2", "messages": [{"role": "user", "content": "hello"}]}
        with self.bridge.client(self.key) as client:
            return client.post("/api/chat", json=body)

    def nodes(self, *args: str) -> str:
        return self.bridge.manage("nodes", *args, check=False)

    def headers(self, secret: str) -> str:
        path = self.folder / "headers"
        path.write_text(f"X-Node-Key: {secret}\n")
        return str(path)

    def doctor(self) -> str:
        return self.bridge.manage("doctor", check=False)


@pytest.fixture(scope="module")
def place(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("node")
    authority = Authority(folder, "Nodes")
    certificate, key = authority.sign("node")
    port = free_port()
    with ExitStack() as stack:
        node = stack.enter_context(
            NodeProcess("llama3.2=2,nomic-embed-text=0.27+embedding", vram_gib=24, **QUICK)
        )
        trap = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        trap.setblocking(False)
        conf = folder / "nginx.conf"
        conf.write_text(
            CONF.format(
                folder=folder,
                port=port,
                certificate=certificate,
                key=key,
                secret=SECRET,
                node=node.url,
                trap=trap.getsockname()[1],
            )
        )
        nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(conf)])
        stack.callback(nginx.wait, PATIENCE_S)
        stack.callback(nginx.terminate)
        bridge = Bridge(copied(empty_data, folder / "data"), nodes=[], BRIDGE_LOG_LEVEL="DEBUG")
        stack.callback(bridge.close)
        place = Place(bridge=bridge, key=bridge.key(), folder=folder, authority=authority, trap=trap)
        given = ("--headers", place.headers(SECRET), "--ca", str(authority.path), "--vram", "24GiB")
        added = json.loads(
            place.nodes("add", f"https://127.0.0.1:{port}/ollama", "--name", "gpu", *given, "--json")
        )
        assert added["error"] == ""
        bridge.start()
        yield place


def test_a_node_that_asks_for_a_header_and_has_its_own_authority_is_used(place: Place) -> None:
    """Listed and loaded by the scheduler, answered through the bridge, below the proxy's path."""
    reply = place.chat()
    assert reply.status_code == 200, reply.text
    assert json.loads(reply.text.splitlines()[-1])["done"]
    asked = (place.folder / "asked.log").read_text()
    assert f"/ollama/api/chat {SECRET}" in asked
    assert f"/ollama/api/ps {SECRET}" in asked


def test_a_clients_key_never_reaches_a_node(place: Place) -> None:
    with place.bridge.client(place.key, cookies={"session": "s"}) as client:
        body = {"model": "llama3.2", "messages": [{"role": "user", "content": "hello"}]}
        assert (
            client.post("/v1/chat/completions", json=body, headers={"X-Api-Key": place.key}).status_code
            == 200
        )
    asked = (place.folder / "asked.log").read_text()
    assert place.key not in asked
    assert {line.partition("[")[2] for line in asked.splitlines()} == {"---]"}


def test_a_redirect_of_a_node_is_not_followed(place: Place) -> None:
    with place.bridge.client(place.key) as client:
        reply = client.post("/api/embed", json={"model": "nomic-embed-text", "input": "hello"})
    assert reply.status_code == 502
    assert "302" in reply.json()["error"]
    with pytest.raises(BlockingIOError):
        place.trap.accept()


def test_the_header_is_in_no_log_no_file_and_no_answer(place: Place) -> None:
    place.chat()
    assert SECRET not in place.nodes("list", "--json")
    for path in place.bridge.data_dir.rglob("*"):
        with contextlib.suppress(IsADirectoryError):
            assert SECRET.encode() not in path.read_bytes(), path


def test_a_header_that_is_wrong_is_an_operators_matter_and_not_the_clients(place: Place) -> None:
    """Told by the doctor and as a failure of the node: a 401 would say that the client's key is wrong."""
    assert place.chat().status_code == 200
    place.nodes("access", "gpu", "--headers", place.headers("wrong"))
    place.bridge.until(lambda: place.chat().status_code in (502, 503))
    assert "It lets nobody in: 401" in place.doctor()
    assert "Ollama" in place.nodes("access", "gpu", "--headers", place.headers(SECRET))
    place.bridge.until(lambda: place.chat().status_code == 200)


def test_a_node_that_another_authority_signed_is_not_talked_to(place: Place, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Nodes")
    said = place.nodes("access", "gpu", "--ca", str(other.path))
    assert "does not answer" in said
    assert "CERTIFICATE_VERIFY_FAILED" in said
    place.bridge.until(lambda: place.chat().status_code in (502, 503))
    assert "Ollama" in place.nodes("access", "gpu", "--ca", str(place.authority.path))
    place.bridge.until(lambda: place.chat().status_code == 200)


def test_another_secret_opens_nothing_and_reseal_moves_to_a_new_one(place: Place) -> None:
    before = dict(place.bridge.env)
    old = (place.bridge.data_dir / "node_secret").read_text()
    try:
        place.bridge.env["BRIDGE_NODE_SECRET"] = "a new one"
        assert "BRIDGE_OLD_NODE_SECRETS" in place.doctor()
        place.bridge.env["BRIDGE_OLD_NODE_SECRETS"] = old
        assert "1 nodes are sealed" in place.nodes("reseal")
        del place.bridge.env["BRIDGE_OLD_NODE_SECRETS"]
        assert "BRIDGE_NODE_SECRET" not in place.doctor()
    finally:
        place.bridge.env.clear()
        place.bridge.env.update(before)

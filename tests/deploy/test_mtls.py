"""A client's certificate is a key's identity: through real nginx, and believed from nobody else."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from scheduler.simulator.process import NodeProcess
from tests.conftest import QUICK
from tests.deploy.certificates import Authority
from tests.deploy.files import DEPLOY, document
from tests.deploy.proxy import Nginx
from tests.serving import PATIENCE_S, Bridge, copied

HEADER = "X-Client-Certificate-Subject"
CRAWLER = "CN=crawler,O=Example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """nginx with TLS, a bridge that trusts it, and a key that is bound to the crawler's certificate."""

    nginx: Nginx
    bridge: Bridge
    clients: Authority
    servers: Authority
    bound: str
    free: str

    def ask(
        self, name: str = "", key: str = "", by: Authority | None = None, **headers: str
    ) -> httpx.Response:
        """GET /api/tags as the client of this name, with or without a key."""
        context = ssl.create_default_context(cafile=str(self.servers.path))
        if name:
            context.load_cert_chain(*(by or self.clients).sign(name))
        if key:
            headers["Authorization"] = f"Bearer {key}"
        with httpx.Client(verify=context, trust_env=False, timeout=PATIENCE_S) as client:
            return client.get(f"{self.nginx.tls_url}/api/tags", headers=headers)


@pytest.fixture(scope="module")
def door(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("door")
    clients, servers = Authority(directory, "Clients"), Authority(directory, "Servers")
    certificate, key = servers.sign("bridge")
    files = {"tls_certificate": certificate, "tls_key": key, "client_ca": clients.path}
    with ExitStack() as stack:
        node = stack.enter_context(NodeProcess("llama3.2=2", vram_gib=24, **QUICK))
        bridge = Bridge(
            copied(empty_data, directory / "data"),
            nodes=[node.url],
            BRIDGE_TRUSTED_PROXIES="127.0.0.1",
            BRIDGE_CERTIFICATE_HEADER=HEADER,
        )
        stack.callback(bridge.close)
        bound, free = bridge.key("crawler", "--certificate", CRAWLER), bridge.key("free")
        bridge.start()
        nginx = Nginx(directory / "nginx", [f"127.0.0.1:{bridge.port}"], conf="nginx-mtls.conf", files=files)
        stack.callback(nginx.close)
        nginx.start()
        yield Door(nginx=nginx, bridge=bridge, clients=clients, servers=servers, bound=bound, free=free)


def test_a_certificate_stands_for_its_key(door: Door) -> None:
    reply = door.ask("crawler")
    assert reply.status_code == 200, reply.text
    door.bridge.until(lambda: CRAWLER in door.nginx.logged())


def test_a_certificate_that_no_key_names_is_told_so(door: Door) -> None:
    reply = door.ask("stranger")
    assert reply.status_code == 401
    assert "CN=stranger,O=Example" in reply.json()["error"]


def test_a_bound_key_counts_only_with_its_certificate(door: Door) -> None:
    assert door.ask("crawler", key=door.bound).status_code == 200
    assert door.ask(key=door.bound).status_code == 403
    assert door.ask("stranger", key=door.bound).status_code == 403


def test_a_key_that_is_bound_to_nothing_needs_no_certificate(door: Door) -> None:
    assert door.ask(key=door.free).status_code == 200
    assert door.ask().status_code == 401


def test_a_certificate_of_another_authority_is_not_believed(door: Door, tmp_path: Path) -> None:
    assert door.ask("crawler", by=Authority(tmp_path, "Clients")).status_code == 400  # nginx's own answer


def test_a_header_that_a_client_sends_through_nginx_is_replaced(door: Door) -> None:
    assert door.ask(**{HEADER: CRAWLER}).status_code == 401
    assert door.ask("stranger", **{HEADER: CRAWLER}).status_code == 401


def test_a_header_from_a_peer_that_is_no_trusted_proxy_counts_for_nothing(door: Door) -> None:
    for address, status in (("127.0.0.1", 200), ("127.0.0.9", 401)):
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(transport=transport, trust_env=False) as client:
            reply = client.get(f"{door.bridge.url}/api/tags", headers={HEADER: CRAWLER})
            assert reply.status_code == status


def test_two_such_headers_are_a_forgery(door: Door) -> None:
    twice = [(HEADER, CRAWLER), (HEADER, CRAWLER)]
    assert httpx.get(f"{door.bridge.url}/api/tags", headers=twice, trust_env=False).status_code == 401


def test_a_key_sent_without_tls_is_refused_and_not_redirected(door: Door) -> None:
    reply = httpx.get(f"{door.nginx.url}/api/tags", trust_env=False)
    assert reply.status_code == 403
    assert "replaced" in reply.json()["error"]
    page = httpx.get(f"{door.nginx.url}/admin/", trust_env=False)
    assert (page.status_code, page.headers["location"]) == (308, "https://127.0.0.1/admin/")


def test_https_answers_say_that_they_are_to_stay_https(door: Door) -> None:
    assert door.ask(key=door.free).headers["strict-transport-security"] == "max-age=31536000"


def test_every_example_uses_the_header_that_the_bridge_is_told() -> None:
    told = document("compose.mtls.yaml")["services"]["web"]["environment"]["BRIDGE_CERTIFICATE_HEADER"]
    assert told == HEADER
    caddy = (DEPLOY / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    assert f"header_up {HEADER} {{http.request.tls.client.subject}}" in caddy
    nginx = (DEPLOY / "nginx" / "bridge.conf").read_text(encoding="utf-8")
    assert f"proxy_set_header {HEADER} $certificate_subject;" in nginx


@pytest.mark.parametrize("name", ["nginx.conf", "nginx-tls.conf", "nginx-mtls.conf"])
def test_every_server_that_includes_the_locations_says_whom_it_knows(name: str) -> None:
    text = (DEPLOY / "nginx" / name).read_text(encoding="utf-8")
    for server in re.findall(r"server \{(.*?)\n    \}", text, re.DOTALL):
        assert server.index("set $certificate_subject") < server.index("include bridge.conf")


def test_the_configuration_with_tls_alone_is_sound(door: Door, tmp_path: Path) -> None:
    certificate, key = door.servers.sign("other")
    files = {"tls_certificate": certificate, "tls_key": key}
    nginx = Nginx(tmp_path / "nginx", ["127.0.0.1:1"], conf="nginx-tls.conf", files=files)
    assert "test is successful" in nginx.checked()

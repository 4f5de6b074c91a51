"""`serve` with TLS of its own, and what every answer of it says to browsers."""

from __future__ import annotations

import json
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
from tests.serving import PATIENCE_S, Bridge, copied

PROMPT = "the-prompt-that-nobody-else-may-read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    bridge: Bridge
    key: str
    context: ssl.SSLContext  # that knows who signed the bridge's certificate

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.bridge.url,
            verify=self.context,
            trust_env=False,
            timeout=PATIENCE_S,
            headers={"Authorization": f"Bearer {self.key}", **headers},
        )


@pytest.fixture(scope="module")
def server(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory)
    certificate, private = authority.sign("bridge")
    with ExitStack() as stack:
        node = stack.enter_context(NodeProcess("llama3.2=2", vram_gib=24, **QUICK))
        bridge = Bridge(
            copied(empty_data, directory / "data"),
            nodes=[node.url],
            BRIDGE_TLS_CERTIFICATE=str(certificate),
            BRIDGE_TLS_KEY=str(private),
            BRIDGE_LOG_LEVEL="DEBUG",
        )
        stack.callback(bridge.close)
        bridge.url = bridge.url.replace("http:", "https:")
        bridge.manage("synccatalog")
        key = bridge.key()
        bridge.start()
        context = ssl.create_default_context(cafile=str(authority.path))
        yield Server(bridge=bridge, key=key, context=context)


def chatted(server: Server, prompt: str) -> httpx.Response:
    body = {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": prompt}],
        "options": {"num_predict": 4},
    }
    with server.client() as client:
        return client.post("/api/chat", json=body)


def test_a_client_that_knows_the_authority_is_served(server: Server) -> None:
    reply = chatted(server, "hello")
    assert reply.status_code == 200
    assert json.loads(reply.text.splitlines()[-1])["done"]


def test_a_client_that_does_not_know_the_authority_is_warned(server: Server) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{server.bridge.url}/livez", trust_env=False)


def test_nothing_is_said_in_the_clear(server: Server) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.bridge.url.replace('https:', 'http:')}/livez", trust_env=False)


def test_an_old_protocol_is_refused(server: Server) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.bridge.url}/livez", verify=old, trust_env=False)


def test_the_containers_own_check_speaks_tls(server: Server) -> None:
    server.bridge.manage("healthcheck")


def test_no_answer_of_the_api_is_taken_for_a_page(server: Server) -> None:
    with server.client() as client:
        for path in ("/api/tags", "/v1/models", "/v1/nowhere"):
            assert client.get(path).headers["x-content-type-options"] == "nosniff"


def test_pages_say_what_browsers_may_do_with_them(server: Server) -> None:
    with server.client() as client:
        page = client.get("/admin/login/")
    assert page.headers["strict-transport-security"].startswith("max-age=31536000")
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "Secure" in page.headers["set-cookie"]


def test_a_host_that_is_not_listed_gets_no_page(server: Server) -> None:
    with server.client(Host="evil.example") as client:
        assert client.get("/admin/login/").status_code == 400


def test_a_form_from_another_site_is_refused(server: Server) -> None:
    with server.client() as client:
        page = client.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        form = {"username": "a", "password": "b", "csrfmiddlewaretoken": token[1]}
        headers = {"Origin": "https://evil.example", "Referer": "https://evil.example/"}
        assert client.post("/admin/login/", data=form, headers=headers).status_code == 403


def test_neither_prompt_nor_answer_nor_key_is_in_any_log_or_file(server: Server) -> None:
    """With the log at its most talkative, and after a failure that carries the prompt in its body."""
    reply = chatted(server, PROMPT)
    assert reply.status_code == 200
    with server.client() as client:
        broken = client.post("/api/chat", content=b'{"model": "llama3.2", "messages": ["' + PROMPT.encode())
        missing = client.post(
            "/v1/chat/completions",
            json={"model": "nobody", "messages": [{"role": "user", "content": PROMPT}]},
        )
    assert (broken.status_code, missing.status_code) == (400, 404)
    server.bridge.record(reply.headers["x-request-id"])
    written = [path for path in server.bridge.data_dir.rglob("*") if path.is_file()]
    assert server.bridge.log in written
    for path in written:
        data = path.read_bytes()
        assert PROMPT.encode() not in data, path
        assert server.key.encode() not in data, path


def test_who_guesses_keys_is_slowed_and_right_keys_beside_it_are_not(server: Server) -> None:
    with server.client(Authorization="Bearer obk_guess") as guesser:
        statuses = [guesser.get("/api/tags").status_code for _ in range(25)]
        told = guesser.get("/api/tags")
    assert statuses[:20] == [401] * 20
    assert statuses[-1] == told.status_code == 429
    assert 1 <= int(told.headers["retry-after"]) <= 60
    with server.client() as client:
        assert client.get("/api/tags").status_code == 200

"""The page at /docs: every route, with a curl line that works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from bridge.views.documentation import DOCUMENT, Operation, groups, prose, takes
from tests.bridge.served import Served
from tests.conftest import FakeNode, Serve

# What the node says to examples that need more than is there: a file, a registry, a rival's blob.
STATUSES = {"blobUpload": None, "blobExists": 404, "pull": None, "push": None}


def operations(url: str) -> Iterator[Operation]:
    for group in groups(url):
        yield from group.operations


@pytest.fixture(scope="module")
def page(served: Served) -> httpx.Response:
    return served.bridge.get("/docs")


def test_it_shows_every_route_and_its_scope(page: httpx.Response) -> None:
    assert page.status_code == 200
    for path, methods in DOCUMENT["paths"].items():
        assert f"<code>{path}</code>" in page.text
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page.text


def test_it_has_the_address_that_the_reader_used(served: Served, page: httpx.Response) -> None:
    assert f"{served.bridge.url}/v1/chat/completions" in page.text
    assert "obk_" not in page.text.replace("obk_…", "")


def test_behind_a_proxy_it_has_the_public_address(fake_node: FakeNode, serve: Serve) -> None:
    bridge = serve([fake_node().url], BRIDGE_PUBLIC_URL="https://llm.example")
    text = bridge.get("/docs").text
    assert "https://llm.example/v1/chat/completions" in text
    assert bridge.url not in text


def test_it_needs_nothing_from_elsewhere_and_no_script(page: httpx.Response, served: Served) -> None:
    assert "<script" not in page.text
    assert "style=" not in page.text
    loaded = re.findall(r'<link [^>]*href="([^"]+)"', page.text)
    assert len(loaded) == 2
    for path in loaded:
        assert served.bridge.get(path).status_code == 200


def test_every_curl_line_works(served: Served) -> None:
    env = {**os.environ, "OLLAMA_BRIDGE_KEY": served.key, "no_proxy": "127.0.0.1"}
    for operation in operations(served.bridge.url):
        expected = STATUSES.get(operation.id, 200)
        if expected is None:
            continue
        line = f"{operation.curl} -s -o /dev/null -w '%{{http_code}}'"
        done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, timeout=30)
        assert (operation.id, done.stdout) == (operation.id, str(expected))


def test_code_in_a_description_is_marked_and_nothing_of_it_is_html() -> None:
    assert prose("`a < b` and <i>") == "<code>a &lt; b</code> and &lt;i&gt;"


def test_types_are_told_in_words() -> None:
    assert takes({"type": ["string", "null"]}) == "string"
    assert takes({"type": ["array", "null"], "items": {"type": "string"}}) == "array of string"
    assert takes({"anyOf": [{"enum": ["json", ""]}, {"type": ["object", "null"]}]}) == '"json" or object'
    assert takes({"enum": [1, None]}) == "1"

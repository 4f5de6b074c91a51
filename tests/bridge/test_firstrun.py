"""What a fresh machine needs: where an Ollama may be, and steps that may be repeated."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from bridge import firstrun
from bridge.models import ApiKey
from scheduler.models import Node
from tests.conftest import FakeNode


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost:11434"),
        ("10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:9999", "http://127.0.0.1:9999"),
        ("http://[::]:11434", "http://[::1]:11434"),
        ("[fd00::2]", "http://[fd00::2]:11434"),
        (":8000", "http://127.0.0.1:8000"),
        ("https://llm.example", "https://llm.example:443"),
        ("http://llm.example/", "http://llm.example:11434"),
    ],
)
def test_ollamas_own_variable_becomes_an_address_to_connect_to(host: str, url: str) -> None:
    assert firstrun.reachable(host) == url


def test_candidates_come_in_order_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def given(**values: Any) -> list[str]:
        monkeypatch.setattr(firstrun, "ENV", {**firstrun.ENV, **values})
        return firstrun.candidates()

    assert given(OLLAMA_URL=(), OLLAMA_HOST="") == ["http://127.0.0.1:11434"]
    assert given(OLLAMA_URL=("http://a:1",), OLLAMA_HOST="b:2/") == [
        "http://a:1",
        "http://b:2",
        "http://127.0.0.1:11434",
    ]
    assert given(OLLAMA_URL=(), OLLAMA_HOST="0.0.0.0") == ["http://127.0.0.1:11434"]


def test_only_what_answers_as_an_ollama_is_found(fake_node: FakeNode) -> None:
    node = fake_node(ollama_version="0.31.0")
    gone = "http://127.0.0.1:9"
    assert firstrun.find_ollama([gone, node.url]) == [firstrun.Found(url=node.url, version="0.31.0")]


@pytest.mark.django_db
def test_the_demo_node_is_one_however_often_it_starts_and_leaves_for_a_real_one() -> None:
    firstrun.use_demo_node("http://127.0.0.1:1001", vram_gib=24, slots=4)
    firstrun.use_demo_node("http://127.0.0.1:1002", vram_gib=24, slots=4)
    (node,) = Node.objects.all()
    assert (node.url, node.slots, node.vram_bytes) == ("http://127.0.0.1:1002", 4, 24 * 2**30)
    firstrun.use_nodes(["http://127.0.0.1:2001"])
    assert [node.url for node in Node.objects.all()] == ["http://127.0.0.1:2001"]


@pytest.mark.django_db
def test_the_first_key_is_made_once() -> None:
    text = firstrun.first_key()
    assert text is not None
    assert text.startswith("obk_")
    assert firstrun.first_key() is None
    assert ApiKey.objects.count() == 1


@pytest.mark.django_db
def test_the_operator_gets_links_until_the_first_sign_in_and_has_no_password() -> None:
    assert firstrun.operator_link() is not None
    assert firstrun.operator_link() is not None
    user = User.objects.get()
    assert user.is_superuser
    assert not user.has_usable_password()
    user.last_login = timezone.now()
    user.save()
    assert firstrun.operator_link() is None

"""What a fresh machine needs before it can serve: tables, an operator, a key. Each step may be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from django.contrib.auth.models import User
from django.core.management import call_command

from bridge.env import VALUES as ENV
from bridge.env import public_url
from bridge.loginlink import link_for
from bridge.models import Actor, ApiKey
from scheduler.models import Node

OPERATOR = "admin"
FIRST_KEY = "first key"
DEMO_NODE = "demo"
OLLAMA_PORT = 11434


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An Ollama that answered."""

    url: str
    version: str


def candidates() -> list[str]:
    """Where an Ollama may be: as set for the bridge, as set for Ollama itself, its default."""
    urls = list(ENV["OLLAMA_URL"])
    if host := ENV["OLLAMA_HOST"].strip().rstrip("/"):
        urls.append(reachable(host))
    urls.append(f"http://127.0.0.1:{OLLAMA_PORT}")
    return list(dict.fromkeys(urls))


def reachable(host: str) -> str:
    """OLLAMA_HOST as an address to connect to: it may lack scheme and port, or name all interfaces."""
    parts = urlsplit(host if "://" in host else f"http://{host}")
    name = parts.hostname or "127.0.0.1"
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)  # noqa: S104  not bound, connected to
    shown = f"[{name}]" if ":" in name else name
    default = OLLAMA_PORT if parts.scheme == "http" else 443
    return f"{parts.scheme}://{shown}:{parts.port or default}"


def find_ollama(urls: list[str]) -> list[Found]:
    """Those that answer as an Ollama within two seconds."""
    found = []
    with httpx.Client(timeout=2.0, trust_env=False) as client:
        for url in urls:
            try:
                version = client.get(f"{url}/api/version").raise_for_status().json()["version"]
            except (httpx.HTTPError, ValueError, KeyError, TypeError):
                continue
            found.append(Found(url=url, version=str(version)))
    return found


def migrate() -> None:
    call_command("migrate", verbosity=0, interactive=False)


def use_nodes(urls: list[str]) -> None:
    """These are the nodes now; a demo node of an earlier run leaves the field to a real one."""
    Node.objects.seed(urls)
    Node.objects.filter(name=DEMO_NODE).delete()


def use_demo_node(url: str, *, vram_gib: int, slots: int) -> None:
    """The fake node, under one name however often it starts on another port."""
    node = Node.objects.filter(name=DEMO_NODE).first() or Node(name=DEMO_NODE)
    node.url, node.slots, node.vram_bytes = url, slots, vram_gib * 2**30
    node.save()


def operator_link() -> str | None:
    """A login link while the first operator has never signed in; None afterwards."""
    user, _ = User.objects.get_or_create(
        username=OPERATOR, defaults={"is_staff": True, "is_superuser": True, "password": "!"}
    )
    return link_for(user, public_url()) if user.last_login is None else None


def first_key() -> str | None:
    """The text of the first key, once; None when there are keys already."""
    if ApiKey.objects.exists():
        return None
    _, text = ApiKey.objects.issue(actor=Actor.at_shell(), name=FIRST_KEY)
    return text

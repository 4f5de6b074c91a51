"""Where a request carries its key: the Authorization header, X-Api-Key, or `/k/<key>/` before the path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.keyformat import PREFIX

PATH_PREFIX = "/k/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    token: str | None  # None: the request carries no key
    path: str  # the path without the key
    cli: bool  # the Ollama command line sent it, which shows every 401 as "sign in to ollama.com"


def credentials(headers: Iterable[tuple[bytes, bytes]], path: str) -> Credentials:
    """Take the key out of an ASGI scope's headers and path.

    Of several, the first that looks like a key of ours counts: clients behind `/k/<key>/` often send a
    made-up bearer token too. The Ollama command line can send no header at all, hence the path."""
    bearer = api_key = agent = b""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, rest = value.partition(b" ")
            bearer = rest.strip() if scheme.lower() == b"bearer" else b""
        elif name == b"x-api-key":
            api_key = value.strip()
        elif name == b"user-agent":
            agent = value
    in_path, rest_of_path = split_path(path)
    found = [text for text in (bearer.decode("latin-1"), api_key.decode("latin-1"), in_path) if text]
    token = next((text for text in found if text.startswith(PREFIX)), found[0] if found else None)
    return Credentials(token=token, path=rest_of_path, cli=bool(in_path) or agent.startswith(b"ollama/"))


def split_path(path: str) -> tuple[str, str]:
    """The key before the path, or '', and the path without it."""
    if not path.startswith(PATH_PREFIX):
        return "", path
    token, slash, rest = path[len(PATH_PREFIX) :].partition("/")
    return token, slash + rest or "/"

"""What an app says of its own future in headers."""

from __future__ import annotations

from dataclasses import replace

from bridge.catalogue import Catalogue, assemble
from bridge.grants import Grant, compiled
from bridge.hints import LONGEST_ECHO, NOTHING, Told, told
from scheduler.policy.hints import MOST_SAID
from tests.bridge.test_estimates import entry

NAMES = ("llama3.2:latest", "qwen3:8b", "secret:latest", "m1:latest", "m2:latest", "m3:latest")
CATALOGUE: Catalogue = assemble(
    [replace(entry(), name=name, listed=name) for name in NAMES],
    nodes=[],
    aliases={"fast:latest": "qwen3:8b"},
)
GRANT = Grant(
    id="k",
    account="k",
    name="app",
    team="",
    priority=1,
    digest=b"",
    pepper="",
    scopes=frozenset({"chat"}),
    models=compiled(["llama3.2", "qwen3:*", "m?"]),
)


def said(value: bytes, *more: tuple[bytes, bytes]) -> Told:
    return told([(b"host", b"x"), (b"x-bridge-next-model", value), *more], CATALOGUE, GRANT)


def test_most_requests_say_nothing() -> None:
    assert told([(b"host", b"x"), (b"authorization", b"Bearer x")], CATALOGUE, GRANT) is NOTHING


def test_the_next_model_is_known_by_every_spelling() -> None:
    assert said(b"Llama3.2").models == ("llama3.2:latest",)
    assert said(b"fast").models == ("qwen3:8b",)


def test_several_are_named_in_order_in_one_header_or_in_several() -> None:
    assert said(b"qwen3:8b, llama3.2").models == ("qwen3:8b", "llama3.2:latest")
    assert said(b"qwen3:8b", (b"x-bridge-next-model", b"m1")).models == ("qwen3:8b", "m1:latest")


def test_what_means_no_model_is_ignored_and_named() -> None:
    assert said(b"lama, qwen3:8b,,").ignored == "lama"
    assert said(b"lama, qwen3:8b,,").models == ("qwen3:8b",)
    assert said(b"a b:c:d/e").ignored == "a b:c:d/e"


def test_a_model_that_the_key_may_not_use_is_ignored_like_an_unknown_one() -> None:
    assert said(b"secret") == Told(models=(), ignored="secret")


def test_more_names_than_are_looked_at_are_ignored_and_named() -> None:
    told_of = said(b"llama3.2,qwen3:8b,m1,m2,m3")
    assert (len(told_of.models), told_of.ignored) == (MOST_SAID, "m3")


def test_what_is_echoed_is_short_and_printable() -> None:
    assert said(b"caf\xe9\x7f\r\nSet-Cookie: x").ignored == "caf????Set-Cookie: x"
    assert len(said(b"x" * 5000).ignored) == LONGEST_ECHO


def test_a_session_is_kept_as_a_hash_that_is_the_same_in_every_process() -> None:
    session = told([(b"x-bridge-session", b"ann's chat")], CATALOGUE, GRANT)
    assert len(session.session) == 16
    assert "ann" not in session.session
    assert session == told([(b"x-bridge-session", b"ann's chat")], CATALOGUE, GRANT)

"""Prompt beginnings that come often: seen in traffic, kept as hashes, learned when an operator says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bridge.dialects import ollama, openai_chat
from bridge.dialects.inner import Inner
from bridge.prefixes import EVERY_S, LEAST_SEEN, Prefixes, beginning
from scheduler.models import Revision, WarmPrefix
from scheduler.models.revision import CATALOGUE
from scheduler.models.warm_prefix import MOST_BYTES
from scheduler.residency import rows

pytestmark = pytest.mark.django_db

SYSTEM = "You are the assistant of a large library. " * 40
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
NOW = 1_800_000_000.0


def chat(*, system: str = SYSTEM, **fields: Any) -> Inner:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Hello"}]
    return ollama.CHAT.read(json.dumps({"model": "a", "messages": messages, **fields}).encode())


def seen(prefixes: Prefixes, inner: Inner, times: int = LEAST_SEEN) -> None:
    for n in range(times):
        prefixes.look(NOW + n, "a:latest", inner)
    prefixes.flush()


def test_what_comes_often_is_kept_as_a_hash_and_nothing_else() -> None:
    prefixes = Prefixes("hash")
    seen(prefixes, chat(tools=TOOLS, think=True), LEAST_SEEN - 1)
    assert not WarmPrefix.objects.exists()
    seen(prefixes, chat(tools=TOOLS, think=True), 2)
    row = WarmPrefix.objects.get()
    assert (row.model, row.source, row.seen, row.think) == ("a:latest", "traffic", LEAST_SEEN + 1, "on")
    assert (row.system, row.tools) == ("", [])
    assert row.bytes > len(SYSTEM)
    assert "library" not in str(row.__dict__)
    assert not WarmPrefix.objects.usable().exists()


def test_the_text_is_learned_once_an_operator_opts_in() -> None:
    prefixes = Prefixes("hash")
    seen(prefixes, chat(tools=TOOLS))
    WarmPrefix.objects.update(learn=True)
    seen(prefixes, chat(tools=TOOLS))
    row = WarmPrefix.objects.get()
    assert (row.system, row.tools) == (SYSTEM, TOOLS)
    [known] = rows.read().prefixes["a:latest"]
    assert (known.system, list(known.tools), known.think, known.route) == (SYSTEM, TOOLS, None, "chat")


def test_all_texts_are_learned_where_the_operator_says_so_for_all() -> None:
    seen(Prefixes("text"), chat())
    assert WarmPrefix.objects.usable().get().system == SYSTEM


def test_counting_on_disturbs_no_snapshot() -> None:
    prefixes = Prefixes("hash")
    seen(prefixes, chat())
    before = Revision.objects.number(CATALOGUE)
    seen(prefixes, chat())
    assert WarmPrefix.objects.get().seen == 2 * LEAST_SEEN
    assert Revision.objects.number(CATALOGUE) == before


def test_a_prefix_that_an_operator_registered_is_counted_in_its_row() -> None:
    row = WarmPrefix(model="a:latest", system=SYSTEM)
    row.full_clean(exclude=["digest"])
    row.save()
    seen(Prefixes("hash"), chat())
    assert (WarmPrefix.objects.get().pk, WarmPrefix.objects.get().seen) == (row.pk, LEAST_SEEN)


def test_short_and_huge_ones_are_not_worth_it() -> None:
    prefixes = Prefixes("hash")
    seen(prefixes, chat(system="Be brief."), 9)
    seen(prefixes, chat(system="x" * (MOST_BYTES + 1)), 9)
    assert not WarmPrefix.objects.exists()


def test_all_dialects_that_mean_the_same_are_counted_together() -> None:
    body = {
        "model": "a",
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "?"}],
    }
    openai = openai_chat.CHAT_COMPLETIONS.read(json.dumps(body).encode())
    a, b = beginning(NOW, "a", openai), beginning(NOW, "a", chat())
    assert a is not None
    assert b is not None
    assert (a.route, a.system, list(a.tools), a.think) == (b.route, b.system, list(b.tools), b.think)


@pytest.mark.parametrize(
    ("route", "body", "system"),
    [
        ("generate", {"prompt": "x", "system": SYSTEM}, SYSTEM),
        ("generate", {"prompt": "x"}, None),
        ("generate", {"prompt": "x", "raw": True}, None),
        ("generate", {"prompt": "x", "system": SYSTEM, "template": "{{ .Prompt }}"}, None),
        ("chat", {"messages": [{"role": "user", "content": "x"}]}, None),
        ("chat", {"messages": [{"role": "user", "content": "x"}], "tools": TOOLS}, ""),
    ],
)
def test_what_a_prompt_begins_with(route: str, body: Mapping[str, Any], system: str | None) -> None:
    dialect = ollama.CHAT if route == "chat" else ollama.GENERATE
    sample = beginning(NOW, "a", dialect.read(json.dumps({"model": "a", **body}).encode()))
    assert (sample.system if sample else None) == system


def test_few_requests_are_looked_at_and_none_where_it_is_off() -> None:
    prefixes = Prefixes("hash")
    assert prefixes.next_at < NOW
    prefixes.look(NOW, "a:latest", chat())
    assert prefixes.next_at == NOW + EVERY_S
    assert Prefixes("off").next_at > NOW

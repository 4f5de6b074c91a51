"""The Dockerfile keeps the rules that linters for it have, and finds what it copies."""

from __future__ import annotations

import json
import re

import pytest
from django.core.management import get_commands

from tests.deploy.files import ROOT, read

TEXT = read("Dockerfile")
LINES = [
    (word.upper(), rest.strip())
    for word, rest in re.findall(r"^([A-Za-z]+)\s+(.*)$", re.sub(r"\\\n", " ", TEXT), re.MULTILINE)
]


def of(word: str) -> list[str]:
    return [rest for each, rest in LINES if each == word]


def test_every_stage_starts_from_one_pinned_release() -> None:
    images = {line.split()[0] for line in of("FROM")}
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.1[123]\.\d+-slim", images.pop())


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    assert of("USER") == ["10001:10001"]
    last = max(i for i, (word, _) in enumerate(LINES) if word == "FROM")
    after = [word for word, _ in LINES[last:]]
    assert after.index("USER") < after.index("ENTRYPOINT")
    assert "RUN" not in after[after.index("USER") :]


def test_nothing_is_fetched_but_the_locked_packages() -> None:
    assert not of("ADD")
    assert "--require-hashes" in TEXT
    assert not re.search(r"curl|wget|apt|latest|sudo", TEXT)


def test_a_changed_line_of_code_installs_nothing_again() -> None:
    order = [rest for word, rest in LINES if word in ("COPY", "RUN")]
    install = next(i for i, rest in enumerate(order) if "--require-hashes" in rest)
    assert [rest.split()[0] for rest in order[:install] if not rest.startswith(("python", "/"))] == [
        "requirements/base.txt"
    ]
    assert any(rest.startswith("bridge/") for rest in order[install:])


@pytest.mark.parametrize("source", [line.split()[0] for line in of("COPY") if "--from" not in line])
def test_what_is_copied_exists_and_is_let_in(source: str) -> None:
    assert (ROOT / source).exists()
    assert f"!{source.rstrip('/')}" in read(".dockerignore").splitlines()


def test_the_context_leaves_everything_else_out() -> None:
    lines = [line for line in read(".dockerignore").splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert not any(word in line for line in lines[1:] for word in ("data", "secrets", ".git", ".venv"))


def test_the_health_check_is_a_command_in_exec_form() -> None:
    (check,) = of("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert command[:2] == ["python", "manage.py"]
    assert get_commands()[command[2]] == "bridge"


@pytest.mark.parametrize("word", ["ENTRYPOINT", "CMD"])
def test_it_starts_without_a_shell(word: str) -> None:
    (line,) = of(word)
    assert isinstance(json.loads(line), list)


def test_sigterm_begins_the_drain() -> None:
    assert of("STOPSIGNAL") == ["SIGTERM"]
    assert of("CMD") == ['["serve"]']

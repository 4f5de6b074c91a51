"""The pages say what the code does, and lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from bridge import env
from bridge.hot.api import EXACT, PREFIXES
from bridge.views.documentation import DOCUMENT
from tests.docs.pages import PAGES, ROOT, blocks, links

OWN = sorted(name for name, app in get_commands().items() if app in ("bridge", "scheduler", "dashboard"))
DJANGO = {"migrate", "changepassword", "createsuperuser", "runserver", "check"}  # that pages may name
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
everything = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_the_table_of_settings_is_the_one_of_the_code() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == env.table()


@everything
def test_every_link_inside_the_repository_leads_to_a_file(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


@everything
def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = {setting.name for setting in env.SETTINGS}
    named = set(re.findall(r"(?<![A-Z_])BRIDGE_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
    assert {name.removesuffix("_FILE") for name in named} <= known


@everything
def test_every_command_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", page.read_text(encoding="utf-8")))
    assert named <= {*OWN, *DJANGO}


@everything
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    typed = [b.text for b in blocks(page) if b.language in ("sh", "bash")]
    quoted = re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))
    assert {*quoted, *re.findall(r"^make ([a-z-]+)", "\n".join(typed), re.MULTILINE)} <= targets


def section(command: str) -> str:
    """What docs/commands.md says of it."""
    found = re.search(rf"^### `{command}`\n(.*?)(?=^##|\Z)", COMMANDS, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/commands.md has no section for {command}"
    return found[1]


@pytest.mark.parametrize("command", OWN)
def test_every_command_has_a_section_with_an_example(command: str) -> None:
    assert re.search(rf"^\$ .*manage\.py {command}\b", section(command), re.MULTILINE)


def test_no_section_is_about_a_command_that_is_gone() -> None:
    assert sorted(re.findall(r"^### `(\w+)`", COMMANDS, re.MULTILINE)) == OWN


@pytest.mark.parametrize("command", OWN)
def test_the_options_that_a_section_names_are_the_commands_own(command: str) -> None:
    app = get_commands()[command]
    assert isinstance(app, str)
    text = load_command_class(app, command).create_parser("manage.py", command).format_help()
    named = set(re.findall(r"--[a-z][a-z-]+", section(command)))
    assert named <= set(re.findall(r"--[a-z][a-z-]+", text))


def test_one_version_stands_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)[0] == version
    assert DOCUMENT["info"]["version"] == version


def test_the_table_of_routes_is_the_one_of_the_code() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([A-Z]+) (/\S+)` \| ([a-z]*) *\|", page, re.MULTILINE)
    table = [*EXACT, *(route for group in PREFIXES.values() for route in group)]
    routes = {(r.method, r.endpoint, r.scope or "") for r in table}
    assert set(told) == routes | {("GET", "/livez", ""), ("GET", "/readyz", "")}
    assert len(told) == len(set(told))

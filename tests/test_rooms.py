"""The direction of imports (design, section 3), read from the source."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("bridge", "scheduler", "dashboard")
FORBIDDEN_NAMES = {"utils", "helpers", "services", "core", "common"}
STDLIB = sys.stdlib_module_names


def modules() -> list[str]:
    return sorted(str(p.relative_to(ROOT)) for room in ROOMS for p in (ROOT / room).rglob("*.py"))


def imports(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    package = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".").split(".")
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                keep = len(package) - node.level + (1 if path.endswith("__init__.py") else 0)
                base = ".".join([*package[:keep], *([base] if base else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def within(name: str, *rooms: str) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def own(names: set[str]) -> set[str]:
    return {name for name in names if within(name, *ROOMS)}


def foreign(names: set[str]) -> set[str]:
    """Top-level packages that are neither ours nor the standard library's."""
    return {name.partition(".")[0] for name in names if not within(name, *ROOMS)} - set(STDLIB)


@pytest.mark.parametrize("path", [p for p in modules() if "/migrations/" not in p])
def test_a_module_imports_only_what_its_room_may(path: str) -> None:
    names = imports(path)
    if path.startswith("scheduler/policy/"):
        assert not foreign(names), "policy is the standard library and itself"
        assert all(within(name, "scheduler.policy") for name in own(names))
    elif path.startswith("bridge/dialects/"):
        assert foreign(names) <= {"orjson"}, "dialects are the standard library and the JSON library"
        assert all(within(name, "bridge.dialects") for name in own(names))
    elif path == "bridge/env.py":
        assert not foreign(names)
        assert not own(names)
    elif path.startswith("scheduler/"):
        assert not any(within(name, "bridge", "dashboard") for name in names)
    elif path.startswith("bridge/"):
        assert not any(within(name, "dashboard") for name in names)
        if path not in COMPOSITION:
            allowed = ("bridge", "scheduler.board", "scheduler.models", "scheduler.policy")
            if path.startswith("bridge/management/"):
                allowed += ("scheduler.management.console",)  # a command looks the same in every room
            assert all(within(name, *allowed) for name in own(names))
    elif path.startswith("dashboard/"):
        allowed = (
            "dashboard",
            "bridge.models",
            "bridge.env",
            "scheduler.board",
            "scheduler.models",
            "scheduler.policy",
        )
        assert all(within(name, *allowed) for name in own(names))


# Where the parts of one process are put together: the only places that see both web and scheduler.
COMPOSITION = {
    "bridge/asgi.py",
    "bridge/lifespan.py",
    "bridge/management/commands/quickstart.py",
    "bridge/management/commands/serve.py",
}


@pytest.mark.parametrize("path", modules())
def test_no_module_has_a_name_that_says_nothing(path: str) -> None:
    assert not FORBIDDEN_NAMES & set(path.removesuffix(".py").split("/"))


@pytest.mark.parametrize("path", [p for p in modules() if "/migrations/" not in p])
def test_no_module_is_longer_than_400_lines(path: str) -> None:
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= 400

"""The file as entries that know their lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from bridge.configuration.sections import FORMAT, SECTIONS, Section

MOST_BYTES = 32 * 2**20


class BadConfig(ValueError):
    """The file cannot be taken; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the file says of one row; `lines` has the line of each of its values."""

    section: Section
    line: int
    values: dict[str, Any]
    lines: dict[str, int]

    @property
    def name(self) -> str:
        return " ".join(str(self.values[name]) for name in self.section.identity)


class Loader(yaml.SafeLoader):
    """Without references, whose expansion has no bound."""

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise BadConfig(line, "References (*name) are not taken; write the value out.")
        return super().compose_node(parent, index)


def entries_of(data: bytes) -> list[Entry]:
    """All entries, in the order of the import. Raises BadConfig."""
    if len(data) > MOST_BYTES:
        raise BadConfig(1, f"The file is larger than {MOST_BYTES >> 20} MiB.")
    try:
        loader = Loader(data)
        try:
            return list(_entries(loader, loader.get_single_node()))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadConfig(mark.line + 1 if mark else 1, f"This is no YAML: {error.problem}.") from None
    except yaml.YAMLError as error:  # bytes that are no text
        raise BadConfig(1, f"This is no YAML: {error}.") from None
    except RecursionError:
        raise BadConfig(1, "It is nested too deeply.") from None


def _entries(loader: Loader, root: yaml.Node | None) -> Iterator[Entry]:
    if root is None:
        raise BadConfig(1, "The file is empty.")
    top = _mapping(loader, root)
    format_node = top.pop("format", None)
    if format_node is None or _value(loader, format_node) != FORMAT:
        raise BadConfig(_line(format_node or root), f"It does not say `format: {FORMAT}`.")
    for section in SECTIONS:
        node = top.pop(section.name, None)
        if node is not None and node.tag != "tag:yaml.org,2002:null":
            yield from _section(loader, section, node)
    for name, node in top.items():
        known = ", ".join(section.name for section in SECTIONS)
        raise BadConfig(_line(node), f"There is no section {name!r}. The sections are {known}.")


def _section(loader: Loader, section: Section, node: yaml.Node) -> Iterator[Entry]:
    if not isinstance(node, yaml.SequenceNode):
        raise BadConfig(_line(node), f"{section.name} takes a list.")
    seen: dict[str, int] = {}
    for item in node.value:
        entry = _entry(loader, section, item)
        if entry.name in seen:
            raise BadConfig(
                entry.line, f"{section.kind} {entry.name} stands in line {seen[entry.name]} already."
            )
        seen[entry.name] = entry.line
        yield entry


def _entry(loader: Loader, section: Section, node: yaml.Node) -> Entry:
    fields = _mapping(loader, node)
    for name, value in fields.items():
        if name not in section.columns:
            known = ", ".join(section.columns)
            raise BadConfig(_line(value), f"{section.name} have no {name!r}. They have {known}.")
    for name in section.identity:
        if name not in fields:
            raise BadConfig(_line(node), f"An entry of {section.name} needs its {name!r}.")
    return Entry(
        section=section,
        line=_line(node),
        values={name: _value(loader, value) for name, value in fields.items()},
        lines={name: _line(value) for name, value in fields.items()},
    )


def _mapping(loader: Loader, node: yaml.Node) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise BadConfig(_line(node), "Here should be names with values (name: value).")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in found:
            raise BadConfig(_line(key), f"{name!r} stands there twice.")
        found[name] = value
    return found


def _value(loader: Loader, node: yaml.Node) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, OverflowError) as error:  # such as a day that no month has
        raise BadConfig(_line(node), f"This is no value: {error}.") from None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1

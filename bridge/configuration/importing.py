"""Entries into rows: in one transaction, through the models' own rules, each change in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models, transaction

from bridge.configuration.reading import BadConfig, Entry
from bridge.configuration.values import column_value, plain
from bridge.models import Actor, ApiKey, AuditEvent
from bridge.models.audit import changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row that the file makes (`before` is empty) or changes."""

    kind: str
    name: str
    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def action(self) -> str:
        return "change" if self.before else "add"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    changes: list[Change] = field(default_factory=list)
    not_importable: list[str] = field(default_factory=list)  # keys that are not here, by id and name


def apply(entries: Sequence[Entry], actor: Actor, *, note: str, dry_run: bool = False) -> Outcome:
    """All entries or, after an error, none. A dry run does the same and takes it back.

    `entries` come by section. Raises BadConfig."""
    done = Outcome()
    with transaction.atomic():
        for _, group in groupby(entries, key=lambda entry: entry.section.name):
            _apply_section(list(group), actor, note, done)
        transaction.set_rollback(dry_run)
    return done


def _apply_section(entries: list[Entry], actor: Actor, note: str, done: Outcome) -> None:
    """An entry may need one that stands below it, such as an alias of an alias: it is tried again."""
    waiting = entries
    while waiting:
        put_off: list[Entry] = []
        first: BadConfig | None = None
        for entry in waiting:
            try:
                _apply_entry(entry, actor, note, done)
            except BadConfig as error:
                put_off.append(entry)
                first = first or error
        if first is not None and len(put_off) == len(waiting):
            raise first
        waiting = put_off


def _apply_entry(entry: Entry, actor: Actor, note: str, done: Outcome) -> None:
    section = entry.section
    values = _values(entry)
    row = section.model._default_manager.filter(**{name: values[name] for name in section.identity}).first()
    if row is None and not section.makes_rows:
        shown = str(entry.values.get("name") or "")
        done.not_importable.append(f"{entry.name} ({shown})" if shown else entry.name)
        return
    before = _facts(entry, row) if row is not None else {}
    row = row if row is not None else section.model()
    wanted = {name: values[name] for name in values if name not in section.shown}
    if before and all(getattr(row, name) == value for name, value in wanted.items()):
        return
    for name, value in wanted.items():
        setattr(row, name, value)
    _check(entry, row)
    old, new = changed(before, _facts(entry, row))
    if not new:
        return  # the model's own form of the value is the stored one
    name = " ".join(str(plain(getattr(row, name))) for name in section.identity)
    change = Change(kind=section.kind, name=name, before=old if before else {}, after=new)
    _write(row, change, actor, note)
    done.changes.append(change)


def _values(entry: Entry) -> dict[str, Any]:
    meta = entry.section.model._meta
    found = {}
    for name, value in entry.values.items():
        if name in entry.section.shown:
            continue
        try:
            found[name] = column_value(meta.get_field(name), value)  # type: ignore[arg-type]
            if name in entry.section.identity:
                found[name] = entry.section.normal(found[name])
        except ValidationError as error:
            raise _bad(entry, name, error.messages) from None
    return found


def _check(entry: Entry, row: models.Model) -> None:
    try:
        row.clean_fields()  # first: the model's own rules take columns of the right kind for granted
        row.full_clean()
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        raise _bad(entry, "" if name == NON_FIELD_ERRORS else name, messages) from None


def _bad(entry: Entry, name: str, messages: Sequence[str]) -> BadConfig:
    where = f"{entry.section.kind} {entry.name}" + (f", {name}" if name else "")
    return BadConfig(entry.lines.get(name, entry.line), f"{where}: {' '.join(messages)}")


def _facts(entry: Entry, row: models.Model) -> dict[str, Any]:
    section = entry.section
    return {name: getattr(row, name) for name in (*section.identity, *section.fields)}


def _write(row: models.Model, change: Change, actor: Actor, note: str) -> None:
    if isinstance(row, ApiKey):
        row.save_changes(actor)
        return
    row.save(update_fields=list(change.after) if change.before else None)
    AuditEvent.objects.record(
        actor,
        f"{change.kind}.{change.action}",
        kind=change.kind,
        target=change.name[:64],
        name=str(row),
        before=change.before,
        after=change.after,
        note=note,
    )

"""The configuration as YAML text."""

from __future__ import annotations

from typing import Any

import yaml
from django.db import models, transaction
from django.utils import timezone

from bridge.configuration.sections import FORMAT, SECTIONS, Section
from bridge.configuration.values import plain
from bridge.models import ApiKey, State
from scheduler.models import Node, WarmPrefix

HEAD = """\
# The configuration of an Ollama Bridge: what operators decided, without any secret.
# `manage.py import_config FILE --dry-run` says what it would change. Rows that it does not name stay.
# Keys are here for reading: an import changes limits and scopes of those that exist, and makes none.
"""


class Dumper(yaml.SafeDumper):
    """Writes each value out, also one that stands elsewhere too."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text() -> str:
    """The whole file."""
    with transaction.atomic():  # one state of all tables, also where others write meanwhile
        found = {section.name: [_entry(section, row) for row in _rows(section)] for section in SECTIONS}
    body = {"format": FORMAT} | found
    return HEAD + yaml.dump(body, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)


def left_out() -> list[str]:
    """What people should know is not in the file, in sentences."""
    said = []
    if sealed := Node.objects.exclude(sealed="").values_list("name", flat=True):
        said.append(
            f"Headers and authorities of {', '.join(sealed)} are left out: enter them again there"
            " (`manage.py nodes access`)."
        )
    if prefixes := WarmPrefix.objects.count():
        said.append(
            f"{prefixes} warm prefixes are left out: they hold what apps say. `manage.py backup` has them."
        )
    return said


def _rows(section: Section) -> models.QuerySet[Any]:
    rows = section.model._default_manager.order_by(*section.identity)
    if section.model is ApiKey:
        working = [
            ApiKey.objects.in_state(state, timezone.now()).values("pk") for state in State if state.works
        ]
        rows = rows.filter(models.Q(pk__in=working[0]) | models.Q(pk__in=working[1]))
    return rows


def _entry(section: Section, row: models.Model) -> dict[str, Any]:
    return {name: plain(getattr(row, name)) for name in section.columns}

"""What the command `nodes` reads of a node's access: from files, since others see a command line."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from scheduler.models import OPEN, Access, Node
from scheduler.models.access import access_of, resealed, seal


def of_file(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--headers", metavar="FILE", help="`Name: value` on each line; - is the standard input."
    )
    parser.add_argument("--ca", metavar="FILE", help="PEM of the authority that signed its certificate.")


def given(options: Mapping[str, Any], node: Node | None = None) -> str:
    """Sealed, for the node's row; what was not given stays as it is. Raises CommandError."""
    if node is not None and not options["headers"] and not options["ca"]:
        raise CommandError("Say what it asks for: --headers, --ca, or --forget.", returncode=2)
    kept = node.access if node is not None else OPEN
    try:
        new = access_of(_read(options["headers"]), _read(options["ca"]))
    except ValidationError as error:
        raise CommandError(" ".join(error.messages), returncode=2) from None
    return seal(
        Access(
            headers=new.headers if options["headers"] else kept.headers,
            authority=new.authority if options["ca"] else kept.authority,
        )
    )


def named(name: str) -> Node:
    node = Node.objects.filter(name=name).first()
    if node is None:
        raise CommandError(f"There is no node {name!r}; `manage.py nodes` lists them.", returncode=2)
    return node


def reseal() -> int:
    """How many rows were sealed anew. Raises CommandError at the first that no secret opens."""
    rows = list(Node.objects.exclude(sealed=""))
    for node in rows:
        try:
            node.sealed = resealed(node.sealed)
        except ValueError as error:
            raise CommandError(
                f"{node.name}: {error}. Give the old one as BRIDGE_OLD_NODE_SECRETS."
            ) from None
        node.save(update_fields=["sealed"])
    return len(rows)


def _read(path: str | None) -> str:
    if not path:
        return ""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}.", returncode=2) from None

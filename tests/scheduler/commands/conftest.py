from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command

Manage = Callable[..., str]


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def manage() -> Manage:
    """Run a command; what it wrote to stdout, as in a pipe."""

    def run(*args: str) -> str:
        out = StringIO()
        call_command(*args, stdout=out, stderr=StringIO())
        return out.getvalue()

    return run


@pytest.fixture
def terminal() -> Manage:
    """Run a command; what it drew on a terminal."""

    def run(*args: str) -> str:
        out = Terminal()
        call_command(*args, stdout=out, stderr=StringIO())
        return out.getvalue()

    return run

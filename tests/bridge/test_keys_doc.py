"""docs/keys.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from bridge.management.commands.createkey import OPTIONS
from bridge.models import Scope, State
from bridge.throttle import Throttle

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "keys.md").read_text(encoding="utf-8")


def first_column(heading: str) -> list[str]:
    table = PAGE.split(f"| {heading} |")[1].split("\n\n")[0]
    return [row.split("|")[1].strip(" `") for row in table.splitlines()[2:]]


def test_every_scope_and_state_is_told_and_no_other() -> None:
    assert first_column("scope") == Scope.values
    assert first_column("state") == State.values


def test_the_states_that_work_are_told_as_such() -> None:
    for state in State:
        row = re.search(rf"^\| {state.value} \| (yes|no)", PAGE, re.MULTILINE)
        assert row is not None
        assert (row[1] == "yes") is state.works


def test_options_and_figures_are_those_of_the_code() -> None:
    for option in re.findall(r"--[a-z-]+", PAGE.split("manage.py createkey NAME")[1].splitlines()[0]):
        assert option in OPTIONS
    throttle = Throttle()
    assert f"more than {throttle.burst} times, then more than {throttle.per_minute:g} times a minute" in PAGE

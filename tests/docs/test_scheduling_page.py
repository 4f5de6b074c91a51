"""docs/scheduling.md names what there is, with the values of the code; its tables agree with themselves."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from scheduler.policy.account import FIRST_CAUTION, OFF_S
from scheduler.policy.config import DEFAULT
from scheduler.replay.policies import POLICIES
from tests.bench.scheduling import TARGETS
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "scheduling.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| [^|]+ \| ([^|]+) \| ([\d.e+]+) \| ([\d., e+]*) \| ([\d.e+]+) \| (met|NOT met) \|$",
    PAGE,
    re.MULTILINE,
)


def section(title: str) -> str:
    """The text under a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section {title!r}"
    return found[1]


def first_column(text: str) -> set[str]:
    """The names in the first column of its tables."""
    cells = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([\w+-]+)`", cell)}


def test_the_policies_that_are_compared_are_those_of_the_replay() -> None:
    named = {name.removesuffix("+hints") for name in first_column(section("What is compared"))}
    assert named <= POLICIES.keys()
    replayed = set(
        re.findall(r"^\| [^|]+ \| ([a-z-]+)(?:\+hints)? \| [\d.]+ \| [\d.]+ \|", PAGE, re.MULTILINE)
    )
    assert replayed <= named


def test_every_module_that_is_named_exists() -> None:
    named = first_column(section("How it is decided"))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / "scheduler" / "policy" / f"{name}.py").exists()] == []


def test_every_option_that_is_named_exists() -> None:
    options = set(re.findall(r"`((?:[a-z]+_)+[a-z]+)`", section("How it is decided")))
    assert options <= {f.name for f in fields(DEFAULT)}


@pytest.mark.parametrize(
    ("option", "told"),
    re.findall(r"`((?:[a-z]+_)+[a-z]+)` \((?:a |of )?([\d.]+)[^)]*\)", section("How it is decided"))
    or [("", "")],
)
def test_the_value_of_an_option_is_the_default(option: str, told: str) -> None:
    value = getattr(DEFAULT, option)
    assert float(told) == (value[0] if isinstance(value, tuple) else value)


def test_what_is_said_of_bounds_and_caution_is_so() -> None:
    assert f"`line_bound_s`, {DEFAULT.line_bound_s:.0f}" in PAGE
    assert DEFAULT.horizons_s == (30.0, 120.0)
    assert (FIRST_CAUTION, OFF_S) == (4.0, 15 * 60.0)


def test_every_group_of_targets_is_named_and_every_table_is_of_one() -> None:
    compared = section("What is compared")
    assert [title for title in TARGETS if title not in compared] == []
    assert set(re.findall(r"^### (.+)$", compared, re.MULTILINE)) <= {
        *TARGETS,
        "What is not met, and why",
        "Outcomes",
    }


def test_what_is_called_met_is_met() -> None:
    assert len(ROWS) > 10
    for what, value, _, target, verdict in ROWS:
        least = "at least" in what
        met = float(value) >= float(target) if least else float(value) <= float(target)
        assert verdict == ("met" if met else "NOT met"), what


def test_the_median_lies_among_its_values() -> None:
    for what, value, each, _, _ in ROWS:
        values = [float(x) for x in each.split(", ") if x] or [float(value)]
        assert min(values) / 1.01 <= float(value) <= max(values) * 1.01, what


def test_what_is_not_met_is_explained() -> None:
    missed = [what for what, _, _, _, verdict in ROWS if verdict == "NOT met"]
    explained = PAGE.partition("### What is not met, and why")[2].partition("\n#")[0]
    assert len(re.findall(r"^- ", explained, re.MULTILINE)) >= len(missed)

"""Every line of the threat model names a test, and the test is there."""

from __future__ import annotations

import re

import pytest

from tests.deploy.files import ROOT, read

TABLES = [line for line in read("SECURITY.md").splitlines() if line.startswith("| ")]
LINES = [line for line in TABLES if not line.startswith("| threat")]
DEFINED = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[2:50])
def test_a_line_of_the_threat_model_is_held_by_a_test(line: str) -> None:
    named = re.findall(r"`(test_\w+)`", line)
    assert named
    assert set(named) <= DEFINED

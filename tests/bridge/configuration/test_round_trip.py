"""`export_config` and `import_config`: what goes out comes back, and no secret goes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bridge.configuration.sections import SECTIONS
from bridge.models import ApiKey, AuditEvent
from scheduler.models import Alias, Node, NodePrice, Revision
from tests.bridge.configuration.cast import ANN, HEADER, Terminal, empty, fill, run

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bridge.yaml"


def test_every_section_of_a_filled_bridge_has_an_entry() -> None:
    fill()
    found = yaml.safe_load(run("export_config")[0])
    assert all(found[section.name] for section in SECTIONS)


def test_an_empty_bridge_takes_over_everything_but_the_keys(file: Path) -> None:
    key, _ = fill()
    run("export_config", file)
    written = file.read_text(encoding="utf-8")
    empty()
    ApiKey.objects.filter(pk=key.pk).update(requests_per_minute=1, scopes=["embed"])
    run("import_config", file)
    assert run("export_config")[0] == written
    assert NodePrice.objects.filter(node="gpu1").count() == 2, (
        "the past of a price came, and nothing was added"
    )


def test_a_second_import_changes_nothing_and_tells_the_audit_log_nothing(file: Path) -> None:
    fill()
    run("export_config", file)
    empty()
    run("import_config", file)
    before = AuditEvent.objects.count(), Revision.objects.number("catalogue")
    assert run("import_config", file)[0] == "0 rows changed.\n"
    assert (AuditEvent.objects.count(), Revision.objects.number("catalogue")) == before


def test_no_secret_and_no_prompt_is_in_the_file(file: Path) -> None:
    key, text = fill()
    _, said = run("export_config", file)
    written = file.read_text(encoding="utf-8")
    sealed = Node.objects.get(name="gpu1").sealed
    for secret in (text, key.digest, key.pepper, sealed, HEADER, "Marvin", "d" * 64):
        assert secret not in written
    assert key.public_id in written
    assert "gpu1" in said
    assert "1 warm prefixes" in said
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_dry_run_shows_each_change_and_makes_none(file: Path) -> None:
    fill()
    file.write_text("format: 1\nnodes: [{name: gpu2, slots: 8}]\naliases: [{name: new, model: 'qwen3:8b'}]\n")
    before = run("export_config")[0], AuditEvent.objects.count(), Revision.objects.number("catalogue")
    said, _ = run("import_config", file, "--dry-run")
    assert said.splitlines()[:4] == ["~ node gpu2", "  - slots: 4", "  + slots: 8", "+ alias new:latest"]
    assert said.endswith("\n2 rows would change.\n")
    after = run("export_config")[0], AuditEvent.objects.count(), Revision.objects.number("catalogue")
    assert after == before
    run("import_config", file)
    assert Node.objects.get(name="gpu2").slots == 8
    assert Alias.objects.mapping()["new:latest"] == "qwen3:8b"


def test_a_terminal_gets_colours(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    file.write_text("format: 1\nteams: [{name: ops}]\n")
    assert "\x1b[1;32m+ team ops" in run("import_config", file, "--dry-run", out=Terminal())[0]
    assert "\x1b" not in run("import_config", file, "--dry-run")[0]


def test_changes_as_json_name_both_sides(file: Path) -> None:
    fill()
    file.write_text("format: 1\nteams: [{name: search, budget_money_day: '20'}]\n")
    told = json.loads(run("import_config", file, "--json")[0])
    change = {"action": "change", "kind": "team", "name": "search"}
    sides = {"before": {"budget_money_day": "12.50"}, "after": {"budget_money_day": "20"}}
    assert told == {"dry_run": False, "changes": [change | sides], "not_importable": []}


def test_a_change_is_in_the_audit_log_with_the_file_it_came_from(file: Path) -> None:
    fill()
    file.write_text("format: 1\nnodes: [{name: gpu2, draining: true}]\n")
    run("import_config", file)
    event = AuditEvent.objects.get(action="node.change")
    assert (event.target, event.before, event.after) == ("gpu2", {"draining": False}, {"draining": True})
    assert event.note == "import_config bridge.yaml"


def test_of_a_key_only_rights_and_limits_change_and_one_that_is_not_here_is_told(file: Path) -> None:
    key, _ = fill()
    entry = {"public_id": key.public_id, "name": "other", "team": "x", "parallel": 3, "scopes": ["embed"]}
    unknown = {"public_id": "zzzzzzzz", "name": "lost"}
    file.write_text(yaml.safe_dump({"format": 1, "keys": [entry, unknown]}))
    _, said = run("import_config", file)
    found = ApiKey.objects.get()
    assert (found.name, found.team, found.parallel, found.scopes) == ("crawler", "search", 3, ["embed"])
    assert found.digest == key.digest
    assert AuditEvent.objects.get(action="key.change").target == key.public_id
    assert "zzzzzzzz (lost)" in said


def test_a_revoked_key_is_not_exported() -> None:
    key, _ = fill()
    key.revoke(ANN)
    assert yaml.safe_load(run("export_config")[0])["keys"] == []

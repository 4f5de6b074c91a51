"""A bad file changes nothing, and the message names its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError

from bridge.models import AuditEvent
from scheduler.models import Node
from tests.bridge.configuration.cast import fill, run

pytestmark = pytest.mark.django_db

GOOD = "format: 1\nnodes:\n- name: gpu9\n  url: http://gpu9\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "empty"),
        ("nodes: []\n", 1, "format: 1"),
        ("format: 2\n", 1, "format: 1"),
        (GOOD + "  slots: [\n", 6, "no YAML"),
        (GOOD + "  slots: many\n", 5, "node gpu9, slots: It takes a number."),
        (GOOD + "  slots: 1000\n", 5, "From 1 to 256."),
        (GOOD + "  slots: 1.5\n", 5, "a whole number"),
        (GOOD + "  note: 12\n", 5, "put it in quotes"),
        (GOOD + '  note: "a\\0b"\n', 5, "no database takes"),
        (GOOD + '  note: "\\ud800"\n', 5, "no database takes"),
        (GOOD + "  enabled: 1\n", 5, "true or false"),
        (GOOD + "  enabled: null\n", 5, "needs a value"),
        (GOOD + "  price_per_hour: .nan\n", 5, "decimal"),
        (GOOD + "  kv_type: q3\n", 5, "not a valid choice"),
        (GOOD + "  gpu_uuids: [2027-01-01]\n", 5, "dates"),
        (GOOD + "  sealed: abc\n", 5, "nodes have no 'sealed'"),
        (GOOD + "  name: gpu8\n", 5, "'name' stands there twice"),
        (GOOD + "- name: gpu9\n", 5, "node gpu9 stands in line 3 already"),
        (GOOD + "- url: http://gpu8\n", 5, "needs its 'name'"),
        (GOOD + "- name: gpu8\n  url: ftp://gpu8\n", 6, "not an address"),
        (GOOD + "- name: gpu8\n  url: &u http://gpu8\n  note: *u\n", 7, "References"),
        (GOOD + "- !!python/object:os.system {}\n", 5, "needs its 'name'"),
        (GOOD + "- name: !!python/name:os.system\n", 5, "could not determine a constructor"),
        (GOOD + "node: []\n", 5, "no section 'node'"),
        (GOOD + "teams: {}\n", 5, "takes a list"),
        (GOOD + "aliases:\n- {name: a, model: b}\n- {name: b, model: a}\n", 6, "is not in the catalogue"),
        (GOOD + "aliases:\n- name: new\n  model: nothing\n", 7, "nothing:latest is not in the catalogue"),
        (GOOD + "pinning_policies:\n- name: p\n  model: m\n  windows: [08:00]\n", 8, "A window is"),
        (GOOD + "node_prices:\n- {node: gpu9, since: 2027-01-01}\n", 6, "with its zone"),
        (GOOD + "hosted_prices:\n- {name: h, input_price: 1, as_of: 2027-02-30}\n", 6, "no value"),
        (GOOD + "gpu_types:\n- name: g\n  vram_gb: .nan\n", 7, "a number"),
        ("[" * 5000, 1, "nested too deeply"),
        (b"format: 1\nnodes: \xff\n", 1, "no YAML"),
    ],
)
def test_a_bad_file_is_refused_with_its_line_and_changes_nothing(
    text: str | bytes, line: int, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CommandError) as refused:
        run("import_config", file)
    assert refused.value.returncode == 2
    assert f"line {line}: " in str(refused.value)
    assert said in str(refused.value)
    assert not Node.objects.filter(name="gpu9").exists()
    assert not AuditEvent.objects.exists()


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file") as refused:
        run("import_config", tmp_path / "none.yaml")
    assert refused.value.returncode == 2


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    fill()
    (tmp_path / "taken").mkdir()
    with pytest.raises(CommandError, match="cannot be written"):
        run("export_config", tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]

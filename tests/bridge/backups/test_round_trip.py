"""`backup` and `restore` on SQLite and on PostgreSQL, as an operator runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Serve
from tests.postgres import PostgresServer
from tests.serving import ROOT, copied

SECRETS = ("pepper", "secret_key", "node_secret")
Manage = Callable[..., "subprocess.CompletedProcess[str]"]
NUMBER = """
import django; django.setup()
from bridge.models import AuditEvent
from scheduler.models import Revision
events = list(AuditEvent.objects.filter(kind="database").order_by("id").values_list("action", flat=True))
print([Revision.objects.number("keys"), events])
"""


def manager(data: Path, **env: str) -> Manage:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("BRIDGE_", "OLLAMA_", "DJANGO_"))}
    settings = {"BRIDGE_DATA_DIR": str(data), "DJANGO_SETTINGS_MODULE": "bridge.settings"}

    def manage(*words: str | Path, code: str = "") -> subprocess.CompletedProcess[str]:
        program = ["-c", code] if code else ["manage.py", *map(str, words)]
        return subprocess.run(
            [sys.executable, *program],
            cwd=ROOT,
            env=kept | settings | env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return manage


def done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def keys(manage: Manage) -> list[str]:
    return sorted(key["name"] for key in json.loads(done(manage("listkeys", "--json"))))


def state(manage: Manage) -> list[Any]:
    found: list[Any] = eval(done(manage(code=NUMBER)))
    return found


def round_trip(manage: Manage, file: Path) -> None:
    done(manage("createkey", "kept", "--json"))
    done(manage("backup", file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name], "no scratch file is left"
    done(manage("createkey", "later", "--json"))
    seen = state(manage)[0]
    refused = manage("restore", file)
    assert (refused.returncode, keys(manage)) == (1, ["kept", "later"]), "only with --yes"
    told = done(manage("restore", file, "--yes"))
    assert "The database is the one of" in told
    assert keys(manage) == ["kept"]
    number, events = state(manage)
    assert number > seen, "a process that saw the later key must notice"
    assert events == ["database.backup", "database.restore"]


def test_a_backup_of_sqlite_comes_back_without_the_secrets(empty_data: Path, tmp_path: Path) -> None:
    data, file = copied(empty_data, tmp_path / "data"), tmp_path / "backups" / "monday"
    file.parent.mkdir()
    manage = manager(data)
    round_trip(manage, file)
    whole = file.read_bytes()
    for name in SECRETS:
        assert (data / name).read_bytes() not in whole
    (data / "pepper").write_text("another pepper, forty characters or longer")
    warned = manage("restore", file, "--yes")
    assert "1 keys cannot be verified here" in warned.stderr
    assert "another pepper" in warned.stderr


def test_a_backup_of_postgresql_comes_back(postgres_server: PostgresServer, tmp_path: Path) -> None:
    file = tmp_path / "backups" / "monday"
    file.parent.mkdir()
    path = f"{postgres_server.binaries}{os.pathsep}{os.environ['PATH']}"
    url = postgres_server.database()
    round_trip(manager(tmp_path / "data", DATABASE_URL=url, PATH=path), file)
    empty = postgres_server.url(postgres_server.empty_database())
    fresh = manager(tmp_path / "data", DATABASE_URL=empty, PATH=path)
    done(fresh("restore", file, "--yes"))
    assert keys(fresh) == ["kept"], "into an empty database, too"
    without = manager(tmp_path / "data", DATABASE_URL=url, PATH=str(tmp_path))("backup", file)
    assert without.returncode == 1
    assert "pg_dump is not installed" in without.stderr


def test_a_running_bridge_is_not_restored_under(serve: Serve, fake_node: Any, tmp_path: Path) -> None:
    bridge = serve([fake_node().url])
    manage = manager(bridge.data_dir)
    done(manage("backup", tmp_path / "file"))
    key = bridge.key("later")
    refused = manage("restore", tmp_path / "file", "--yes")
    assert refused.returncode == 1
    assert "A bridge is running" in refused.stderr
    assert bridge.knows(key)
    bridge.stop()
    done(manage("restore", tmp_path / "file", "--yes"))
    assert keys(manage) == []


def test_a_file_that_is_no_whole_backup_changes_nothing(empty_data: Path, tmp_path: Path) -> None:
    manage = manager(copied(empty_data, tmp_path / "data"))
    file = tmp_path / "file"
    done(manage("backup", file))
    done(manage("createkey", "later", "--json"))
    whole = file.read_bytes()
    with tarfile.open(file) as tar:
        middle = tar.getmember("database").offset_data + 5000
    bad = {
        "cut": whole[: len(whole) // 2],
        "altered": whole[:middle] + b"spoiled" + whole[middle + 7 :],
        "other": b"no backup at all",
        "engine": whole.replace(b'"sqlite"', b'"mysql?"', 1),
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        refused = manage("restore", tmp_path / name, "--yes")
        assert (name, refused.returncode) == (name, 2)
        assert "Nothing was changed" in refused.stderr
    assert keys(manage) == ["later"]

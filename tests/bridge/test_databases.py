"""The two databases as Django's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.databases import postgresql, sqlite
from bridge.env import BadSetting


def test_sqlite_writes_ahead_and_waits_for_its_turn() -> None:
    options = sqlite(Path("/data/bridge.sqlite3"))["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert options["timeout"] > 0
    assert "journal_mode=WAL" in options["init_command"]


def test_a_postgresql_address_is_taken_apart() -> None:
    url = "postgresql://us%40er:p%2Fss@db.example:6432/bri%20dge?sslmode=require&connect_timeout=3"
    settings = postgresql(url)
    assert settings["NAME"] == "bri dge"
    assert settings["USER"] == "us@er"
    assert settings["PASSWORD"] == "p/ss"
    assert (settings["HOST"], settings["PORT"]) == ("db.example", "6432")
    assert settings["OPTIONS"]["sslmode"] == "require"
    assert settings["OPTIONS"]["connect_timeout"] == "3"


def test_a_pool_keeps_the_connections_and_django_none() -> None:
    settings = postgresql("postgres://host/name")
    assert settings["CONN_MAX_AGE"] == 0
    assert settings["OPTIONS"]["pool"]["max_size"] >= settings["OPTIONS"]["pool"]["min_size"]


def test_a_socket_directory_may_stand_in_the_query() -> None:
    settings = postgresql("postgresql:///name?host=/run/postgresql&port=5433")
    assert (settings["HOST"], settings["PORT"]) == ("/run/postgresql", "5433")
    assert not {"host", "port"} & set(settings["OPTIONS"])


@pytest.mark.parametrize(
    "url", ["mysql://user:hunter2@host/name", "postgresql://host", "postgresql://host/", "name", ""]
)
def test_what_is_no_address_says_what_it_takes_and_not_what_it_was(url: str) -> None:
    with pytest.raises(BadSetting, match="DATABASE_URL takes postgresql://") as error:
        postgresql(url)
    assert "hunter2" not in str(error.value)

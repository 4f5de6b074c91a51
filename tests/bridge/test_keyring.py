from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from bridge.auth import Denied
from bridge.grants import Grant
from bridge.keyring import KeyRingKeeper
from bridge.models import Actor, ApiKey
from scheduler.board.interface import Budget

ROOT = Path(__file__).resolve().parents[2]
HOUR = timedelta(hours=1)


@pytest.mark.django_db
def test_a_grant_says_what_its_row_says(ann: Actor) -> None:
    key, token = ApiKey.objects.issue(
        actor=ann,
        name="crawler",
        team="search",
        scopes=["embed"],
        allowed_models=["nomic*"],
        allowed_cidrs=["10.0.0.0/8"],
        priority=2,
        requests_per_minute=60,
        tokens_per_minute=1000,
        parallel=4,
        budget_tokens_total=0,
        expires_at=timezone.now() + HOUR,
    )
    keys = KeyRingKeeper()
    keys.refresh()
    now = time.time()
    grant = keys.current.authorise(token, "10.0.0.1", now)
    assert isinstance(grant, Grant)
    assert (grant.id, grant.name, grant.team, grant.priority) == (key.public_id, "crawler", "search", 2)
    assert (grant.allows("embed"), grant.allows("chat")) == (True, False)
    assert (grant.may_use("nomic-embed-text:latest"), grant.may_use("llama3.2:latest")) == (True, False)
    limits = grant.limits(now)
    assert (limits.requests_per_minute, limits.tokens_per_minute, limits.parallel) == (60, 1000, 4)
    assert [(b.period, b.tokens) for b in limits.budgets] == [("total", 0)]
    assert isinstance(limits.budgets[0], Budget)
    assert isinstance(keys.current.authorise(token, "192.0.2.7", now), Denied)
    assert isinstance(keys.current.authorise(token, "10.0.0.1", now + 3601), Denied)


@pytest.mark.django_db
def test_authorising_asks_the_database_nothing(ann: Actor, django_assert_num_queries) -> None:
    _, token = ApiKey.objects.issue(actor=ann, name="crawler", budget_tokens_day=5, allowed_models=["llama*"])
    keys = KeyRingKeeper()
    keys.refresh()
    with django_assert_num_queries(0):
        grant = keys.current.authorise(token, "192.0.2.7", 0.0)
        assert isinstance(grant, Grant)
        assert grant.may_use("llama3.2:latest")
        assert grant.limits(0.0).budgets
        keys.current.authorise("obk_nobody", None, 0.0)


@pytest.mark.django_db
def test_a_look_that_finds_nothing_new_is_one_query_and_a_load_one_more(
    ann: Actor, django_assert_num_queries
) -> None:
    for number in range(5):
        ApiKey.objects.issue(actor=ann, name=f"app {number}")
    keys = KeyRingKeeper()
    with django_assert_num_queries(2):
        assert keys.refresh()
    with django_assert_num_queries(1):
        assert not keys.refresh()


@pytest.mark.django_db
def test_a_ring_in_hand_never_changes_and_the_next_one_knows_the_revocation(ann: Actor) -> None:
    key, token = ApiKey.objects.issue(actor=ann, name="crawler")
    keys = KeyRingKeeper()
    keys.refresh()
    in_hand = keys.current
    key.revoke(ann)
    keys.refresh()
    assert isinstance(in_hand.authorise(token, None, time.time()), Grant)
    denied = keys.current.authorise(token, None, time.time())
    assert isinstance(denied, Denied)
    assert denied.reason == "revoked"


@pytest.mark.django_db
def test_both_keys_of_a_rotation_work_in_the_grace_period_and_draw_on_one_account(ann: Actor) -> None:
    old, old_token = ApiKey.objects.issue(actor=ann, name="crawler")
    _, new_token = old.rotate(ann, HOUR)
    keys = KeyRingKeeper()
    keys.refresh()
    now = time.time()
    grants = [keys.current.authorise(token, None, now) for token in (old_token, new_token)]
    assert [grant.account for grant in grants] == [old.public_id, old.public_id]
    later = keys.current.authorise(old_token, None, now + 3601)
    assert isinstance(later, Denied)
    assert later.reason == "replaced"


@pytest.mark.django_db
def test_keys_of_an_earlier_pepper_work_when_it_is_named(ann: Actor, settings) -> None:
    _, token = ApiKey.objects.issue(actor=ann, name="crawler")
    keys = KeyRingKeeper()
    settings.OLD_KEY_PEPPERS, settings.KEY_PEPPER = [settings.KEY_PEPPER], "a new one"
    _, new_token = ApiKey.objects.issue(actor=ann, name="newer")
    keys.refresh()
    assert isinstance(keys.current.authorise(token, None, 0.0), Grant)
    assert isinstance(keys.current.authorise(new_token, None, 0.0), Grant)


@pytest.mark.django_db
def test_one_spoiled_row_is_left_out_and_said(ann: Actor, caplog: pytest.LogCaptureFixture) -> None:
    spoiled, token = ApiKey.objects.issue(actor=ann, name="spoiled")
    _, good = ApiKey.objects.issue(actor=ann, name="good")
    ApiKey.objects.filter(pk=spoiled.pk).update(allowed_cidrs=["nowhere"])
    keys = KeyRingKeeper()
    keys.refresh()
    assert isinstance(keys.current.authorise(good, None, 0.0), Grant)
    assert isinstance(keys.current.authorise(token, None, 0.0), Denied)
    assert spoiled.public_id in caplog.text


def test_before_the_first_look_every_key_gets_503() -> None:
    answer = KeyRingKeeper().current.authorise("obk_anything", None, 0.0)
    assert isinstance(answer, Denied)
    assert answer.status == 503


WATCH = """
import json, sys, time
import django
django.setup()
from bridge.keyring import KeyRingKeeper
keys = KeyRingKeeper()
keys.start()
keys.wait_ready(30)
print("ready", flush=True)
token, seen = sys.argv[1], None
while True:
    answer = keys.current.authorise(token, None, time.time())
    if getattr(answer, "reason", "granted") != seen:
        seen = getattr(answer, "reason", "granted")
        print(json.dumps([seen, time.time()]), flush=True)
    time.sleep(0.005)
"""


class Shell:
    """Another process on the same database."""

    def __init__(self, data: Path) -> None:
        quiet = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
        self.env = quiet | {"BRIDGE_DATA_DIR": str(data), "DJANGO_SETTINGS_MODULE": "bridge.settings"}

    def manage(self, *words: str) -> str:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.env, check=True, capture_output=True, text=True
        ).stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.manage("migrate", "--verbosity", "0")
    return shell


@pytest.fixture
def key(shell: Shell) -> dict[str, str]:
    return json.loads(shell.manage("createkey", "crawler", "--json"))


@pytest.fixture
def watcher(shell: Shell, key: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WATCH, key["key"]]
    process = subprocess.Popen(command, cwd=ROOT, env=shell.env, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def test_a_revocation_by_a_command_is_seen_by_another_process_in_under_a_second(
    shell: Shell, key: dict[str, str], watcher: subprocess.Popen[str]
) -> None:
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "ready\n"
    assert json.loads(watcher.stdout.readline())[0] == "granted"
    revoked = json.loads(shell.manage("revokekey", key["id"], "--reason", "leaked", "--json"))
    reason, seen_at = json.loads(watcher.stdout.readline())
    assert reason == "revoked"
    assert seen_at - timezone.datetime.fromisoformat(revoked["revoked_at"]).timestamp() < 1.0

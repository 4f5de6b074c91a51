from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from bridge.management.keycommand import moment
from bridge.models import ApiKey, AuditEvent, State

pytestmark = pytest.mark.django_db


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def run(*words: str, to: StringIO | None = None) -> tuple[str, str]:
    out, err = to or StringIO(), StringIO()
    call_command(*words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def run_json(*words: str):
    return json.loads(run(*words, "--json")[0])


def test_a_made_key_is_what_its_options_say() -> None:
    made = run_json(
        "createkey", "crawler", "--owner", "ann", "--team", "search", "--scopes", "chat,embed",
        "--models", "llama3*,qwen2.5", "--cidrs", "10.0.0.0/8 192.0.2.7", "--rpm", "60", "--tpm", "9000",
        "--parallel", "4", "--budget-tokens-day", "100", "--budget-tokens-month", "2000",
        "--budget-tokens-total", "30000", "--budget-money-day", "1.50", "--budget-money-month", "20",
        "--budget-money-total", "200", "--priority", "high", "--expires", "2099-12-31",
    )  # fmt: skip
    key = ApiKey.objects.get(public_id=made["id"])
    assert ApiKey.check_format(made["key"]) is None
    assert (key.owner, key.team, key.scopes, key.priority) == ("ann", "search", ["chat", "embed"], 2)
    assert key.allowed_models == ["llama3*", "qwen2.5"]
    assert key.allowed_cidrs == ["10.0.0.0/8", "192.0.2.7"]
    assert (key.requests_per_minute, key.tokens_per_minute, key.parallel) == (60, 9000, 4)
    assert (key.budget_tokens_day, key.budget_tokens_month, key.budget_tokens_total) == (100, 2000, 30000)
    assert [str(key.budget_money_day), str(key.budget_money_month), str(key.budget_money_total)] == [
        "1.50",
        "20.00",
        "200.00",
    ]
    assert key.expires_at == datetime(2100, 1, 1, tzinfo=UTC)


def test_in_a_pipe_the_key_stands_alone() -> None:
    out, err = run("createkey", "crawler")
    assert ApiKey.check_format(out.removesuffix("\n")) is None
    assert "shown this once" in err


def test_on_a_terminal_the_key_comes_with_its_warning() -> None:
    out, _ = run("createkey", "crawler", to=Terminal())
    assert "obk_" in out
    assert "shown this once" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scopes", "chat,everything"], "--scopes: There is no scope 'everything'"),
        (["--cidrs", "10.0.0.1/8"], "--cidrs: 10.0.0.1/8 has host bits set"),
        (["--parallel", "0"], "--parallel: "),
        (["--parallel", "four"], "no whole number"),
        (["--priority", "urgent"], "low, normal or high"),
        (["--expires", "soon"], "90d, 2027-01-31"),
        (["--expires", "2027-02-31"], "90d, 2027-01-31"),
        (["--budget-money-day", "much"], "no amount"),
    ],
)
def test_bad_input_ends_with_2_and_names_the_option(words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said) as caught:
        run("createkey", "crawler", *words)
    assert said.startswith("--") is (
        caught.value.returncode == 2
    )  # argparse's own errors exit with 2 as well
    assert not ApiKey.objects.exists()


def test_a_list_shows_every_key_and_no_secret() -> None:
    made = run_json("createkey", "crawler", "--models", "llama3*")
    run_json("revokekey", run_json("createkey", "old")["id"])
    listed = run_json("listkeys")
    assert [(key["name"], key["state"]) for key in listed] == [("old", "revoked"), ("crawler", "active")]
    assert [key["id"] for key in run_json("listkeys", "--state", "active")] == [made["id"]]
    key = ApiKey.objects.get(public_id=made["id"])
    for text in (run("listkeys")[0], run("listkeys", to=Terminal())[0], json.dumps(listed)):
        assert made["id"] in text
        assert made["key"] not in text
        assert key.digest not in text


def test_a_list_in_a_pipe_has_one_line_for_each_key_and_tabs_between() -> None:
    run_json("createkey", "crawler", "--scopes", "chat,embed")
    header, line = run("listkeys")[0].splitlines()
    assert header.split("\t")[:2] == ["ID", "NAME"]
    assert line.split("\t")[1:6] == ["crawler", "", "active", "chat embed", "all"]


def test_an_empty_list_says_how_to_make_a_key() -> None:
    assert "createkey" in run("listkeys", to=Terminal())[0]


def test_rotation_shows_the_successor_and_until_when_the_old_one_works() -> None:
    old = run_json("createkey", "crawler")
    new = run_json("rotatekey", old["id"], "--grace", "2h")
    assert new["replaces"] == old["id"]
    assert ApiKey.check_format(new["key"]) is None
    until = datetime.fromisoformat(new["old_works_until"])
    assert timedelta(minutes=119) < until - timezone.now() < timedelta(minutes=121)
    with pytest.raises(CommandError, match=f"{new['id']}.*rotate that one") as caught:
        run("rotatekey", old["id"])
    assert caught.value.returncode == 1


def test_rotation_without_grace_ends_the_old_key_at_once() -> None:
    old = run_json("createkey", "crawler")
    out, err = run("rotatekey", old["id"], "--grace", "0")
    assert ApiKey.check_format(out.removesuffix("\n")) is None
    assert old["id"] in err
    assert ApiKey.objects.get(public_id=old["id"]).state() == State.REPLACED


def test_a_leaked_key_is_revoked_by_its_text_and_a_second_time_is_harmless() -> None:
    made = run_json("createkey", "crawler")
    assert "is revoked" in run("revokekey", made["key"], "--reason", "leaked")[0]
    assert "was revoked before" in run("revokekey", made["id"])[0]
    event = AuditEvent.objects.get(action="key.revoke")
    assert (event.source, event.note, event.target) == ("command", "leaked", made["id"])


def test_an_unknown_id_ends_with_2_and_a_whole_key_is_not_repeated() -> None:
    made = run_json("createkey", "crawler")
    stranger = made["key"].replace(made["id"], "nobody00")
    for word in ("nobody00", stranger):
        with pytest.raises(CommandError, match="listkeys") as caught:
            run("revokekey", word)
        assert caught.value.returncode == 2
    assert made["key"][13:] not in str(caught.value)


def test_a_database_that_is_not_there_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise OperationalError("no such table: bridge_apikey")

    monkeypatch.setattr(ApiKey.objects, "issue", away)
    with pytest.raises(CommandError, match=r"manage\.py migrate"):
        run("createkey", "crawler")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2027-01-31", datetime(2027, 2, 1, tzinfo=UTC)),
        ("2027-01-31T12:00", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31T12:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_utc_and_a_day_lasts_to_its_end(text: str, at: datetime) -> None:
    assert moment(text) == at


def test_a_duration_counts_from_now() -> None:
    assert abs(moment("90d") - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)

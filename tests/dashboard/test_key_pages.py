from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core import signing
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from bridge import keyformat
from bridge.models import Actor, ApiKey, AuditEvent, State
from scheduler.models import CatalogModel

TOKEN = re.compile(r"obk_[0-9a-z]{8}_[0-9A-Za-z]{49}")
LIST = "/admin/bridge/apikey/"
ADD = "/admin/bridge/apikey/add/"


def page(key: ApiKey, name: str = "change") -> str:
    return reverse(f"admin:bridge_apikey_{name}", args=[key.pk])


def form_of(client: Client, url: str, **values: object) -> dict[str, object]:
    """What the form on a page would send, with these values in place of its own."""
    response = client.get(url)
    assert response.status_code == 200
    form = response.context["form"] if "form" in response.context else response.context["adminform"].form
    data: dict[str, object] = {}
    for bound in form:
        value = bound.value()
        if bound.name == "expires_at":
            data |= {"expires_at_0": "", "expires_at_1": ""}
        else:
            data[bound.name] = "" if value is None else bound.field.prepare_value(value)
    return data | values


def tokens(text: bytes) -> set[str]:
    return set(TOKEN.findall(text.decode()))


@pytest.fixture
def key(ann: Actor) -> ApiKey:
    return ApiKey.objects.issue(actor=ann, name="crawler", team="search", parallel=4)[0]


def test_a_new_key_is_shown_once_on_the_answer_to_its_form(kim: Client) -> None:
    CatalogModel.objects.create(name="llama3.2:latest", capabilities=["completion"])
    answer = kim.post(ADD, form_of(kim, ADD, name="crawler", allowed_models="llama3*\nqwen2.5, mistral"))
    assert answer.status_code == 200
    (token,) = tokens(answer.content)
    assert ApiKey.check_format(token) is None
    key = ApiKey.objects.get()
    assert key.digest == keyformat.digest(token, settings_pepper()).hex()
    assert key.allowed_models == ["llama3*", "qwen2.5", "mistral"]
    assert key.scopes == ["chat", "embed", "models"]
    assert "no-store" in answer["Cache-Control"]
    text = answer.content.decode()
    for client in (
        "curl http://testserver/v1/",
        "from openai",
        "from anthropic",
        "from ollama",
        "OLLAMA_HOST=",
    ):
        assert client in text
    assert not tokens(kim.get(page(key)).content)


def settings_pepper() -> bytes:
    from django.conf import settings

    return settings.KEY_PEPPER.encode()


def test_the_text_of_a_key_is_kept_nowhere(kim: Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = kim.post(ADD, form_of(kim, ADD, name="crawler"))
    (token,) = tokens(answer.content)
    secret = token[13:]
    kept = [
        *ApiKey.objects.values(),
        *AuditEvent.objects.values(),
        *LogEntry.objects.values(),
        *(session.get_decoded() for session in Session.objects.all()),
        *(dict(morsel) | {"value": morsel.value} for morsel in kim.cookies.values()),
    ]
    assert kept
    assert secret not in str(kept)
    assert secret not in caplog.text
    assert secret not in str(answer.headers)


def test_the_same_form_sent_twice_issues_one_key(kim: Client) -> None:
    data = form_of(kim, ADD, name="crawler")
    assert tokens(kim.post(ADD, data).content)
    again = kim.post(ADD, data)
    assert not tokens(again.content)
    assert "issued the key" in again.content.decode()
    assert ApiKey.objects.count() == 1


def test_a_form_without_our_mark_issues_nothing(kim: Client) -> None:
    for mark in ("", "ab12cd34", signing.dumps("ab12cd34", salt="another")):
        kim.post(ADD, form_of(kim, ADD, name="crawler", mark=mark))
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("allowed_cidrs", "10.0.0.1/8", "has host bits set"),
        ("scopes", [], "This field is required"),
        ("parallel", "0", "greater than or equal to 1"),
        ("name", "", "This field is required"),
    ],
)
def test_a_wrong_value_is_named_at_its_field(kim: Client, field: str, value: object, said: str) -> None:
    answer = kim.post(ADD, form_of(kim, ADD, name="crawler") | {field: value})
    assert said in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_a_change_is_saved_and_audited_with_who_and_from_where(kim: Client, key: ApiKey) -> None:
    kim.post(page(key), form_of(kim, page(key), parallel="8", scopes=["chat"]), REMOTE_ADDR="192.0.2.7")
    key.refresh_from_db()
    assert (key.parallel, key.scopes) == (8, ["chat"])
    event = AuditEvent.objects.get(action="key.change")
    assert (event.actor, event.source, event.address, event.target) == (
        "kim",
        "admin",
        "192.0.2.7",
        key.public_id,
    )
    assert event.before == {"parallel": 4, "scopes": ["chat", "embed", "models"]}
    assert event.after == {"parallel": 8, "scopes": ["chat"]}


def test_saving_a_page_as_it_is_changes_and_tells_nothing(kim: Client, key: ApiKey) -> None:
    assert kim.post(page(key), form_of(kim, page(key))).status_code == 302
    assert not AuditEvent.objects.filter(action="key.change").exists()


@pytest.mark.parametrize("field", ["digest", "pepper", "public_id", "account", "revoked_at", "replaces"])
def test_what_no_form_may_set_stays_as_it_is(kim: Client, key: ApiKey, field: str) -> None:
    before = ApiKey.objects.values().get(pk=key.pk)
    kim.post(page(key), form_of(kim, page(key)) | {field: "aaaaaaaa"})
    assert ApiKey.objects.values().get(pk=key.pk) == before


def test_rotation_shows_the_successor_once_and_tells_how_long_the_old_one_works(
    kim: Client, key: ApiKey
) -> None:
    url = page(key, "rotate")
    answer = kim.post(url, form_of(kim, url, grace="24"))
    (token,) = tokens(answer.content)
    heir = ApiKey.objects.get(replaces=key)
    assert keyformat.public_id(token) == heir.public_id
    key.refresh_from_db()
    assert key.state() == State.GRACE
    assert key.grace_ends_at is not None
    assert f"{key.grace_ends_at:%Y-%m-%d %H:%M}" in answer.content.decode()
    assert {event.action for event in AuditEvent.objects.filter(actor="kim")} == {"key.rotate", "key.issue"}


def test_a_rotation_sent_twice_makes_one_successor(kim: Client, key: ApiKey) -> None:
    url = page(key, "rotate")
    data = form_of(kim, url, grace="24")
    kim.post(url, data)
    assert not tokens(kim.post(url, data).content)
    assert ApiKey.objects.count() == 2


def test_a_key_that_was_rotated_elsewhere_meanwhile_is_not_rotated_again(
    kim: Client, key: ApiKey, ann: Actor
) -> None:
    url = page(key, "rotate")
    data = form_of(kim, url, grace="24")
    heir, _ = key.rotate(ann, timedelta(hours=1))
    answer = kim.post(url, data, follow=True)
    assert heir.masked in answer.content.decode()
    assert ApiKey.objects.count() == 2


def test_revoking_asks_first_and_keeps_the_reason(kim: Client, key: ApiKey) -> None:
    url = page(key, "revoke")
    assert "cannot be taken back" in kim.get(url).content.decode()
    key.refresh_from_db()
    assert key.state() == State.ACTIVE
    answer = kim.post(url, {"reason": "leaked"}, follow=True)
    key.refresh_from_db()
    assert (key.state(), key.revoked_reason) == (State.REVOKED, "leaked")
    assert "within a second" in answer.content.decode()


def test_several_keys_are_revoked_after_one_question(kim: Client, key: ApiKey, ann: Actor) -> None:
    other, _ = ApiKey.objects.issue(actor=ann, name="other")
    spared, _ = ApiKey.objects.issue(actor=ann, name="spared")
    chosen = {"action": "revoke_selected", "_selected_action": [key.pk, other.pk]}
    asked = kim.post(LIST, chosen).content.decode()
    assert "Revoke 2 keys" in asked
    assert not ApiKey.objects.filter(revoked_at__isnull=False).exists()
    kim.post(LIST, chosen | {"confirmed": "1", "reason": "clean-up"})
    assert set(ApiKey.objects.filter(revoked_at=None)) == {spared}
    assert AuditEvent.objects.filter(action="key.revoke", actor="kim", note="clean-up").count() == 2


def test_a_revoked_key_is_only_looked_at(kim: Client, key: ApiKey, ann: Actor) -> None:
    key.revoke(ann, "leaked")
    text = kim.get(page(key)).content.decode()
    assert 'name="_save"' not in text
    assert "/rotate/" not in text
    assert "leaked" in text
    kim.post(page(key), {"name": "renamed"})
    key.refresh_from_db()
    assert key.name == "crawler"


def test_nobody_deletes_a_key(root: Client, key: ApiKey) -> None:
    assert root.post(reverse("admin:bridge_apikey_delete", args=[key.pk]), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in root.get(LIST).content.decode()
    root.post(LIST, {"action": "delete_selected", "_selected_action": [key.pk], "post": "yes"})
    assert ApiKey.objects.filter(pk=key.pk).exists()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?state=active", {"used", "ending"}),
        ("?state=revoked", {"revoked"}),
        ("?state=expired", {"expired"}),
        ("?state=grace", set()),
        ("?state=soon", {"ending"}),
        ("?use=day", {"used"}),
        ("?use=never", {"ending", "revoked", "expired"}),
        ("?use=idle", set()),
        ("?team=search", {"used"}),
        ("?priority__exact=2", {"ending"}),
        ("?q=ANN", {"revoked"}),
        ("?state=active&use=never", {"ending"}),
    ],
)
def test_filters_and_search_find_what_they_say(kim: Client, ann: Actor, query: str, names: set[str]) -> None:
    now = timezone.now()
    used, _ = ApiKey.objects.issue(actor=ann, name="used", team="search")
    ApiKey.objects.touch([used.public_id], now)
    ApiKey.objects.issue(actor=ann, name="ending", priority=2, expires_at=now + timedelta(days=3))
    revoked, _ = ApiKey.objects.issue(actor=ann, name="revoked", owner="Ann")
    revoked.revoke(ann)
    ApiKey.objects.issue(actor=ann, name="expired", expires_at=now - timedelta(days=3))
    found = kim.get(LIST + query).context["cl"].queryset
    assert {key.name for key in found} == names


def test_the_list_costs_the_same_few_queries_for_many_keys(
    kim: Client, ann: Actor, django_assert_max_num_queries
) -> None:
    for number in range(30):
        ApiKey.objects.issue(actor=ann, name=f"app {number}")
    kim.get(LIST)
    with django_assert_max_num_queries(12):
        assert kim.get(LIST).status_code == 200


def test_a_search_by_id_finds_the_key_and_the_page_asks_for_no_secret(kim: Client, key: ApiKey) -> None:
    answer = kim.get(f"{LIST}?q={key.public_id}")
    assert [found.pk for found in answer.context["cl"].queryset] == [key.pk]
    assert "Never the key itself" in answer.content.decode()


def test_a_key_that_does_not_exist_is_not_found(kim: Client) -> None:
    for name in ("rotate", "revoke"):
        assert kim.get(reverse(f"admin:bridge_apikey_{name}", args=[99])).status_code == 404


def test_no_page_of_ours_has_inline_script_or_style(kim: Client, key: ApiKey) -> None:
    pages = [LIST, ADD, page(key), page(key, "rotate"), page(key, "revoke"), "/admin/"]
    answers = [kim.get(url) for url in pages] + [kim.post(ADD, form_of(kim, ADD, name="new"))]
    for answer in answers:
        text = answer.content.decode()
        assert answer.status_code == 200
        assert not re.findall(
            r"<script(?![^>]*\bsrc=)[^>]*>", text.replace('type="application/json"', "src=")
        )
        assert not re.findall(r"\son[a-z]+=|<style", text)
        assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text)

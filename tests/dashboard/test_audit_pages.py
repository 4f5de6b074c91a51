from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from bridge.models import Actor, ApiKey, AuditEvent

LIST = "/admin/bridge/auditevent/"


def test_the_log_tells_who_did_what_with_both_values(kim: Client, ann: Actor) -> None:
    key, _ = ApiKey.objects.issue(actor=ann, name="crawler", parallel=4)
    key.parallel = 8
    key.save_changes(ann)
    assert "key crawler" in kim.get(LIST).content.decode()
    event = AuditEvent.objects.get(action="key.change")
    text = kim.get(reverse("admin:bridge_auditevent_change", args=[event.pk])).content.decode()
    assert '<th scope="row">parallel</th><td>4</td><td>8</td>' in text


def test_not_even_a_superuser_adds_changes_or_deletes_an_event(root: Client, ann: Actor) -> None:
    event = AuditEvent.objects.record(ann, "key.issue", kind="key", target="ab12cd34")
    for url in (
        LIST + "add/",
        reverse("admin:bridge_auditevent_change", args=[event.pk]),
        reverse("admin:bridge_auditevent_delete", args=[event.pk]),
    ):
        assert root.post(url, {"actor": "bob", "post": "yes"}).status_code == 403
    root.post(LIST, {"action": "delete_selected", "_selected_action": [event.pk], "post": "yes"})
    assert AuditEvent.objects.get().actor == "ann"


def test_hostile_names_are_shown_as_text(kim: Client, ann: Actor) -> None:
    name = "<script>alert(1)</script>"
    ApiKey.objects.issue(actor=ann, name=name)
    for url in (LIST, "/admin/bridge/apikey/", reverse("admin:bridge_auditevent_change", args=[1])):
        assert name not in kim.get(url).content.decode()


def test_a_new_user_a_new_password_and_a_group_are_audited_without_the_password(root: Client) -> None:
    first, second = (
        {"usable_password": "true", "password1": text, "password2": text}
        for text in ("a long passphrase", "another passphrase")
    )
    root.post("/admin/auth/user/add/", {"username": "bob"} | first)
    bob = User.objects.get(username="bob")
    viewer = Group.objects.get(name="Viewer")
    edit = {"username": "bob", "is_staff": "on", "is_active": "on", "groups": [viewer.pk]}
    edit |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    root.post(reverse("admin:auth_user_change", args=[bob.pk]), edit)
    root.post(reverse("admin:auth_user_password_change", args=[bob.pk]), second)
    events = {event.action: event for event in AuditEvent.objects.filter(kind="user", target="bob")}
    assert set(events) == {"user.add", "user.change", "user.password"}
    assert events["user.change"].after["groups"] == ["Viewer"]
    assert events["user.change"].before["groups"] == []
    bob.refresh_from_db()
    told = str(list(AuditEvent.objects.values()))
    assert "passphrase" not in told
    assert bob.password not in told


def test_a_deleted_user_leaves_a_trace(root: Client) -> None:
    bob = User.objects.create_user("bob")
    eve = User.objects.create_user("eve")
    root.post(reverse("admin:auth_user_delete", args=[bob.pk]), {"post": "yes"})
    root.post("/admin/auth/user/", {"action": "delete_selected", "_selected_action": [eve.pk], "post": "yes"})
    assert {event.target for event in AuditEvent.objects.filter(action="user.delete")} == {"bob", "eve"}


@pytest.mark.parametrize(
    ("peer", "forwarded", "told"),
    [("192.0.2.7", "203.0.113.9", "192.0.2.7"), ("127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9")],
)
def test_the_address_is_believed_from_trusted_proxies_only(
    kim: Client, ann: Actor, monkeypatch: pytest.MonkeyPatch, peer: str, forwarded: str, told: str
) -> None:
    from bridge.models import audit

    monkeypatch.setitem(audit.ENV, "BRIDGE_TRUSTED_PROXIES", ("127.0.0.1",))
    key, _ = ApiKey.objects.issue(actor=ann, name="crawler")
    url = reverse("admin:bridge_apikey_revoke", args=[key.pk])
    kim.post(url, {"reason": ""}, REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert AuditEvent.objects.get(action="key.revoke").address == told

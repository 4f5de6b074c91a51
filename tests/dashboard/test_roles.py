from __future__ import annotations

import importlib
import pkgutil

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from bridge.models import Actor, ApiKey
from dashboard import migrations
from dashboard.roles import grant

pytestmark = pytest.mark.django_db


def roles_of_migrations() -> dict[str, set[str]]:
    """What the migrations named *_roles give to each group, taken together."""
    given: dict[str, set[str]] = {}
    for module in pkgutil.iter_modules(migrations.__path__):
        if module.name.endswith("_roles"):
            for role, held in importlib.import_module(f"{migrations.__name__}.{module.name}").ROLES.items():
                given.setdefault(role, set()).update(held)
    return given


ROLES = roles_of_migrations()
LISTS = {
    "keys": "/admin/bridge/apikey/",
    "usage": "/admin/bridge/usagerecord/",
    "audit": "/admin/bridge/auditevent/",
    "people": "/admin/auth/user/",
}


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_group_has_exactly_the_permissions_of_its_role(role: str, roles: None) -> None:
    held = Permission.objects.filter(group__name=role).select_related("content_type")
    assert {f"{p.content_type.app_label}.{p.codename}" for p in held} == ROLES[role]


@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_permission_of_a_role_is_about_a_model_that_exists(role: str) -> None:
    for permission in ROLES[role]:
        label, _, codename = permission.partition(".")
        assert apps.get_model(label, codename.partition("_")[2])


def test_granting_again_leaves_what_operators_changed(roles: None) -> None:
    viewer = Group.objects.get(name="Viewer")
    extra = Permission.objects.get(codename="view_auditevent")
    viewer.permissions.add(extra)
    grant(apps, {"Viewer": ["bridge.view_usagerecord"]})
    assert extra in viewer.permissions.all()


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        ("vera", {"keys", "usage"}),
        ("olga", {"keys", "usage"}),
        ("kim", {"keys", "usage", "audit"}),
        ("ada", {"keys", "usage", "audit", "people"}),
        ("root", {"keys", "usage", "audit", "people"}),
    ],
)
def test_each_role_sees_its_lists_and_no_other(
    who: str, sees: set[str], request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    assert {name for name, url in LISTS.items() if client.get(url).status_code == 200} == sees


@pytest.mark.parametrize(("who", "may"), [("vera", 403), ("olga", 403), ("kim", 200), ("ada", 200)])
def test_only_key_managers_issue_rotate_and_revoke(
    who: str, may: int, ann: Actor, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    key, _ = ApiKey.objects.issue(actor=ann, name="crawler")
    urls = [reverse(f"admin:bridge_apikey_{name}", args=[key.pk]) for name in ("rotate", "revoke")]
    for url in ("/admin/bridge/apikey/add/", *urls):
        assert client.get(url).status_code == may
    if may == 403:
        assert client.post(urls[1], {"reason": "x"}).status_code == 403
        client.post(
            LISTS["keys"], {"action": "revoke_selected", "_selected_action": [key.pk], "confirmed": "1"}
        )
        key.refresh_from_db()
        assert key.revoked_at is None


def test_a_viewer_reads_the_page_of_a_key_without_its_buttons(vera: Client, ann: Actor) -> None:
    key, _ = ApiKey.objects.issue(actor=ann, name="crawler", allowed_models=["llama3*"])
    text = vera.get(reverse("admin:bridge_apikey_change", args=[key.pk])).content.decode()
    assert "llama3*" in text
    for button in ("/rotate/", "/revoke/", 'name="_save"', "auditevent"):
        assert button not in text


@pytest.mark.parametrize("url", LISTS.values())
def test_who_is_not_signed_in_sees_the_login(client: Client, url: str) -> None:
    assert client.get(url)["Location"].startswith("/admin/login/")

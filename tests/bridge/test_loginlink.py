"""One-time login links."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.test import Client

from bridge.loginlink import link_for, tokens

BASE = "http://localhost:8080/"


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_user("ann", is_staff=True, is_superuser=True)


def path_of(user: User) -> str:
    link = link_for(user, BASE)
    assert link.startswith("http://localhost:8080/")
    assert "//" not in urlsplit(link).path
    return urlsplit(link).path


def parts_of(user: User) -> tuple[str, str, str]:
    """The path without user and token, the user, the token: a token is another one in another second."""
    start, uid, token = path_of(user).rstrip("/").rsplit("/", 2)
    return start, uid, token


def test_a_link_signs_in_once(operator: User) -> None:
    path = path_of(operator)
    client = Client()
    reply = client.get(path)
    assert (reply.status_code, reply["Location"]) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200
    stranger = Client()
    again = stranger.get(path)
    assert again.status_code == 403
    assert b"manage.py loginlink" in again.content
    assert stranger.get("/admin/").status_code == 302


def test_the_answer_is_kept_by_no_cache(operator: User) -> None:
    assert "no-store" in Client().get(path_of(operator))["Cache-Control"]


def test_a_link_of_an_account_that_was_closed_is_refused(operator: User) -> None:
    path = path_of(operator)
    operator.is_active = False
    operator.save()
    assert Client().get(path).status_code == 403


def test_a_link_is_for_its_own_user(operator: User) -> None:
    other = User.objects.create_user("bob", is_staff=True)
    _, uid, _ = parts_of(other)
    start, _, token = parts_of(operator)
    assert Client().get(f"{start}/{uid}/{token}/").status_code == 403


def test_a_link_takes_no_post(operator: User) -> None:
    assert Client().post(path_of(operator)).status_code == 405


def test_what_is_no_link_of_ours_is_refused(operator: User) -> None:
    start, uid, token = parts_of(operator)
    last = "1" if token.endswith("0") else "0"
    for path in (
        f"{start}/!!!/{token}/",
        f"{start}/bm90LWEtbnVtYmVy/{token}/",  # not-a-number
        f"{start}/OTk5OTk5/{token}/",  # nobody's number
        f"{start}/{uid}/{token[:-1]}{last}/",
    ):
        assert Client().get(path).status_code == 403


def test_a_token_for_a_forgotten_password_is_no_login_link(operator: User) -> None:
    assert not tokens.check_token(operator, default_token_generator.make_token(operator))

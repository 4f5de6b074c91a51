"""The cast: Vera only looks, Olga runs nodes, Kim manages keys, Ada does all of it, Root may everything."""

from __future__ import annotations

import importlib

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from bridge.models import Actor, Source


@pytest.fixture(autouse=True)
def _no_figures_kept() -> None:
    cache.clear()


@pytest.fixture(autouse=True)
def _no_static_files(settings: Settings) -> None:
    """Each test client would read the folders of static files again, for 0.2 s."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("servestatic.")]


@pytest.fixture
def ann() -> Actor:
    return Actor(name="ann", source=Source.COMMAND)


@pytest.fixture
def roles(db: None) -> None:
    """The groups, as the migration makes them: tests that empty the tables take them away."""
    for name in ("0001_roles", "0002_ahead_roles", "0003_plan_roles", "0004_report_roles"):
        importlib.import_module(f"dashboard.migrations.{name}").make(apps, None)


def signed_in(name: str, role: str = "") -> Client:
    user = User.objects.create_user(name, password=name, is_staff=True, is_superuser=not role)
    if role:
        user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def root(roles: None) -> Client:
    return signed_in("root")


@pytest.fixture
def vera(roles: None) -> Client:
    return signed_in("vera", "Viewer")


@pytest.fixture
def olga(roles: None) -> Client:
    return signed_in("olga", "Operator")


@pytest.fixture
def kim(roles: None) -> Client:
    return signed_in("kim", "Key manager")


@pytest.fixture
def ada(roles: None) -> Client:
    return signed_in("ada", "Admin")

"""What the lists on a key may hold: scopes, globs of model names, networks."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

MOST = 200  # entries in one list: each is tried against every new model name or address


class Scope(models.TextChoices):
    CHAT = "chat", "chat: generate text"
    EMBED = "embed", "embed: make embeddings"
    MODELS = "models", "models: list and show models"
    MANAGE = "manage", "manage: pull, push, create, copy and delete models"
    ADMIN = "admin", "admin: all of these, and what operators may do"


def default_scopes() -> list[str]:
    return [Scope.CHAT.value, Scope.EMBED.value, Scope.MODELS.value]


def texts(value: Any) -> list[str]:
    """The value, if it is a list of at most MOST non-empty words without spaces."""
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValidationError("This takes a list of words.")
    if len(value) > MOST:
        raise ValidationError(f"This takes at most {MOST} entries, and here are {len(value)}.")
    for entry in value:
        if not entry or len(entry) > 200 or any(c.isspace() or not c.isprintable() for c in entry):
            raise ValidationError(f"{entry!r} is empty, has spaces or is longer than 200 characters.")
    return value


def known_scopes(value: Any) -> None:
    if not texts(value):
        raise ValidationError("A key without a scope can do nothing: give it at least one.")
    for scope in value:
        if scope not in Scope.values:
            raise ValidationError(f"There is no scope {scope!r}. The scopes are {', '.join(Scope.values)}.")


def model_globs(value: Any) -> None:
    texts(value)


def networks(value: Any) -> None:
    for entry in texts(value):
        try:
            ip_network(entry)
        except ValueError as error:
            raise ValidationError(
                f"{error}. Give networks as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32."
            ) from None

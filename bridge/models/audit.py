from __future__ import annotations

import getpass
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, NoReturn

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.http import HttpRequest
from django.utils import timezone

from bridge.addresses import client_address, networks
from bridge.env import VALUES as ENV


class Source(models.TextChoices):
    ADMIN = "admin", "admin"
    COMMAND = "command", "command"
    API = "api", "API"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who writes: a person in the admin, an account at a shell, or a key at the API."""

    name: str
    source: Source
    address: str | None = None  # where the request came from; None for a command

    @classmethod
    def at_shell(cls) -> Actor:
        """The account that runs a command, and who became it by sudo."""
        try:
            name = getpass.getuser()
        except (KeyError, OSError):  # a container's user id without an entry in passwd
            name = f"uid {os.getuid()}"
        before_sudo = os.environ.get("SUDO_USER")
        return cls(name=f"{before_sudo} as {name}" if before_sudo else name, source=Source.COMMAND)

    @classmethod
    def at_admin(cls, request: HttpRequest) -> Actor:
        """The user who is signed in, and the address behind the proxies that are trusted."""
        peer, forwarded = request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", "")
        address = client_address(peer, forwarded, networks(ENV["BRIDGE_TRUSTED_PROXIES"]))
        name = request.user.get_username() or "nobody"
        return cls(name=name, source=Source.ADMIN, address=address_or_none(address))


def address_or_none(text: object) -> str | None:
    """The text, if it is an IP address, without an IPv6 zone: what a column of addresses takes."""
    try:
        return str(ip_address(text.partition("%")[0])) if isinstance(text, str) else None
    except ValueError:
        return None


def facts(row: models.Model, without: Collection[str] = ()) -> dict[str, Any]:
    """A row's own columns by name, for the audit log. Name in `without` whatever is secret."""
    return {
        field.name: field.value_from_object(row)
        for field in row._meta.concrete_fields
        if field.name not in without
    }


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both sides, cut down to the names whose values differ."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


class AppendOnly(TypeError):
    """The audit log is only added to: no event is changed or deleted."""


class AuditQuerySet(models.QuerySet["AuditEvent"]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly(AppendOnly.__doc__)

    def delete(self) -> NoReturn:
        raise AppendOnly(AppendOnly.__doc__)


class AuditManager(models.Manager.from_queryset(AuditQuerySet)):  # type: ignore[misc]
    def record(
        self,
        actor: Actor,
        action: str,
        *,
        kind: str,
        target: str,
        name: str = "",
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> AuditEvent:
        """Write one event. Call it in the transaction of the write that it tells of."""
        event: AuditEvent = self.create(
            actor=actor.name[:150],
            source=actor.source,
            address=actor.address,
            action=action,
            kind=kind,
            target=target,
            name=name[:200],
            before=dict(before or {}),
            after=dict(after or {}),
            note=note[:500],
        )
        return event


class AuditEvent(models.Model):
    """One write by a person or program: who, what, on which target, and the values before and after."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor = models.CharField(max_length=150, help_text="User, account or key that did it.")
    source = models.CharField(max_length=8, choices=Source)
    address = models.GenericIPAddressField(null=True, blank=True)
    action = models.CharField(max_length=40, help_text="As in key.issue, key.rotate, key.revoke, key.change.")
    kind = models.CharField(max_length=40, help_text="What the target is: key, node, model and so on.")
    target = models.CharField(max_length=64, help_text="The target's id.")
    name = models.CharField(max_length=200, blank=True, help_text="The target's name at that time.")
    before = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    after = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    note = models.CharField(max_length=500, blank=True, help_text="The reason that was given.")

    objects = AuditManager()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["kind", "target", "at"], name="audit_target")]

    def __str__(self) -> str:
        return f"{self.action} {self.name or self.target} by {self.actor}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly(AppendOnly.__doc__)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly(AppendOnly.__doc__)

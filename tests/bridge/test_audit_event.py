from __future__ import annotations

import getpass

import pytest
from django.db import transaction

from bridge.models import Actor, AuditEvent
from bridge.models.audit import AppendOnly, changed


@pytest.mark.django_db
def test_an_event_is_never_changed_or_deleted(ann: Actor) -> None:
    event = AuditEvent.objects.record(ann, "node.drain", kind="node", target="gpu1")
    event.actor = "bob"
    for attempt in (
        event.save,
        event.delete,
        AuditEvent.objects.all().delete,
        lambda: AuditEvent.objects.update(actor="bob"),
        lambda: AuditEvent.objects.bulk_update([event], ["actor"]),
    ):
        with pytest.raises(AppendOnly), transaction.atomic():
            attempt()
    assert AuditEvent.objects.get().actor == "ann"


@pytest.mark.django_db
def test_long_texts_are_cut_rather_than_refused(ann: Actor) -> None:
    AuditEvent.objects.record(ann, "node.drain", kind="node", target="gpu1", name="n" * 999, note="n" * 999)
    event = AuditEvent.objects.get()
    assert (len(event.name), len(event.note)) == (200, 500)


def test_only_what_differs_is_kept() -> None:
    assert changed({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ({"b": 2, "c": None}, {"b": 3, "c": 4})


def test_a_command_is_signed_by_the_account_that_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    actor = Actor.at_shell()
    assert (actor.name, actor.source, actor.address) == (getpass.getuser(), "command", None)
    monkeypatch.setenv("SUDO_USER", "ann")
    assert Actor.at_shell().name == f"ann as {getpass.getuser()}"


def test_a_command_in_a_container_without_an_account_is_signed_by_its_user_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert Actor.at_shell().name.startswith("uid ")

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from bridge import keyformat
from bridge.models import Actor, ApiKey, AuditEvent, KeyRefused, State
from scheduler.models import Revision

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def test_an_issued_key_keeps_a_keyed_hash_and_never_its_text(ann: Actor, settings) -> None:
    key, token = ApiKey.objects.issue(actor=ann, name="crawler")
    assert ApiKey.check_format(token) is None
    assert keyformat.public_id(token) == key.public_id
    stored = ApiKey.objects.filter(pk=key.pk).values().get()
    assert stored["digest"] == keyformat.digest(token, settings.KEY_PEPPER.encode()).hex()
    assert token not in str(stored)
    assert token[-20:] not in str(stored)
    assert key.masked == f"obk_{key.public_id}_…{token[-4:]}"


def test_issuing_is_audited_with_the_rights_and_without_the_secret(ann: Actor) -> None:
    key, token = ApiKey.objects.issue(actor=ann, name="crawler", team="search", parallel=4)
    event = AuditEvent.objects.get()
    assert (event.actor, event.source, event.address) == ("ann", "admin", "192.0.2.1")
    assert (event.action, event.kind, event.target, event.name) == (
        "key.issue",
        "key",
        key.public_id,
        "crawler",
    )
    assert event.after["parallel"] == 4
    for secret in (key.digest, token, keyformat.PREFIX):
        assert secret not in str(event.after)


def test_a_given_public_id_issues_only_once(ann: Actor) -> None:
    ApiKey.objects.issue(actor=ann, name="crawler", public_id="ab12cd34")
    with pytest.raises(ValidationError):
        ApiKey.objects.issue(actor=ann, name="crawler", public_id="ab12cd34")
    assert ApiKey.objects.count() == AuditEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("scopes", []),
        ("scopes", ["chat", "everything"]),
        ("scopes", "chat"),
        ("allowed_models", ["two words"]),
        ("allowed_models", [7]),
        ("allowed_models", ["m"] * 201),
        ("allowed_cidrs", ["10.0.0.1/8"]),
        ("allowed_cidrs", ["home"]),
        ("priority", 3),
        ("requests_per_minute", 0),
        ("parallel", -1),
        ("budget_money_day", "-0.01"),
    ],
)
def test_a_key_with_a_wrong_value_is_not_issued(ann: Actor, field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        ApiKey.objects.issue(actor=ann, **({"name": "crawler"} | {field: value}))
    assert list(caught.value.message_dict) == [field]
    assert not ApiKey.objects.exists()
    assert not AuditEvent.objects.exists()


def test_rotation_makes_a_successor_with_the_same_rights_account_and_length_of_life(ann: Actor) -> None:
    old, old_token = ApiKey.objects.issue(
        actor=ann,
        name="crawler",
        scopes=["chat"],
        allowed_models=["llama3*"],
        priority=2,
        budget_tokens_month=10**6,
        expires_at=timezone.now() + 24 * HOUR,
    )
    new, token = old.rotate(ann, HOUR)
    assert token != old_token
    assert (new.replaces, new.account, new.name) == (old, old.public_id, "crawler")
    assert (new.scopes, new.allowed_models, new.priority) == (["chat"], ["llama3*"], 2)
    assert new.budget_tokens_month == 10**6
    assert abs((new.expires_at - timezone.now()) - 24 * HOUR) < timedelta(minutes=1)
    assert old.state() == State.GRACE
    assert old.state(timezone.now() + 2 * HOUR) == State.REPLACED
    assert [e.action for e in AuditEvent.objects.order_by("id")] == ["key.issue", "key.rotate", "key.issue"]


def test_the_account_of_a_chain_of_rotations_is_that_of_its_first_key(ann: Actor) -> None:
    first, _ = ApiKey.objects.issue(actor=ann, name="crawler")
    second, _ = first.rotate(ann, HOUR)
    third, _ = second.rotate(ann, HOUR)
    assert third.account == first.public_id


def test_a_key_is_rotated_only_once_and_the_refusal_names_the_successor(ann: Actor) -> None:
    old, _ = ApiKey.objects.issue(actor=ann, name="crawler")
    twin = ApiKey.objects.get(pk=old.pk)
    heir, _ = old.rotate(ann, HOUR)
    with pytest.raises(KeyRefused, match=heir.public_id):
        twin.rotate(ann, HOUR)
    assert ApiKey.objects.count() == 2


def test_a_key_that_ended_is_not_rotated(ann: Actor) -> None:
    revoked, _ = ApiKey.objects.issue(actor=ann, name="crawler")
    revoked.revoke(ann)
    expired, _ = ApiKey.objects.issue(actor=ann, name="old", expires_at=timezone.now() - HOUR)
    for key in (revoked, expired):
        with pytest.raises(KeyRefused, match="issue a new key"):
            key.rotate(ann, HOUR)
    assert ApiKey.objects.count() == 2


def test_revoking_ends_a_key_once(ann: Actor) -> None:
    key, _ = ApiKey.objects.issue(actor=ann, name="crawler")
    assert key.revoke(ann, "leaked")
    ended = key.revoked_at
    assert not key.revoke(ann, "again")
    assert (key.state(), key.revoked_at, key.revoked_reason) == (State.REVOKED, ended, "leaked")
    event = AuditEvent.objects.filter(action="key.revoke").get()
    assert event.note == "leaked"


def test_a_change_writes_and_audits_only_what_differs(ann: Actor) -> None:
    key, _ = ApiKey.objects.issue(actor=ann, name="crawler", parallel=4)
    ApiKey.objects.touch([key.public_id], timezone.now())
    key.parallel, key.team = 8, "search"
    assert key.save_changes(ann)
    event = AuditEvent.objects.get(action="key.change")
    assert event.before == {"parallel": 4, "team": ""}
    assert event.after == {"parallel": 8, "team": "search"}
    assert ApiKey.objects.get().last_used_at is not None, "a stale form must not undo the touch"
    assert not key.save_changes(ann)
    assert AuditEvent.objects.filter(action="key.change").count() == 1


def test_state_and_its_filter_agree_on_every_combination(ann: Actor) -> None:
    now = timezone.now()
    moments = (None, now - HOUR, now, now + HOUR)
    for expires, grace, revoked in product(moments, moments, (None, now)):
        key, _ = ApiKey.objects.issue(actor=ann, name="one")
        ApiKey.objects.filter(pk=key.pk).update(expires_at=expires, grace_ends_at=grace, revoked_at=revoked)
    for state in State:
        found = {key.pk for key in ApiKey.objects.in_state(state, now)}
        assert found == {key.pk for key in ApiKey.objects.all() if key.state(now) == state}
        assert found


def test_every_way_to_write_moves_the_revision(ann: Actor) -> None:
    seen = [Revision.objects.number("keys")]

    def moved() -> bool:
        seen.append(Revision.objects.number("keys"))
        return seen[-1] > seen[-2]

    key, _ = ApiKey.objects.issue(actor=ann, name="crawler")
    assert moved()
    key.rotate(ann, HOUR)
    assert moved()
    key.revoke(ann)
    assert moved()
    key.team = "search"
    key.save_changes(ann)
    assert moved()
    ApiKey.objects.filter(pk=key.pk).update(parallel=1)
    assert moved()
    ApiKey.objects.touch([key.public_id], timezone.now())
    assert not moved(), "a use is no change of rights"


def test_a_use_is_written_at_most_once_a_minute(ann: Actor) -> None:
    keys = [ApiKey.objects.issue(actor=ann, name=f"app {n}")[0] for n in range(3)]
    ids, at = [key.public_id for key in keys], timezone.now()
    assert ApiKey.objects.touch(ids[:2], at) == 2
    assert ApiKey.objects.touch(ids, at + timedelta(seconds=59)) == 1
    assert ApiKey.objects.touch(ids, at + timedelta(seconds=119)) == 2
    assert ApiKey.objects.get(pk=keys[0].pk).last_used_at == at + timedelta(seconds=119)


def test_a_key_is_found_by_its_id_its_mask_or_its_text(ann: Actor) -> None:
    key, token = ApiKey.objects.issue(actor=ann, name="crawler")
    for text in (key.public_id, f"obk_{key.public_id}", key.masked, token):
        assert ApiKey.objects.named(text) == key
    with pytest.raises(ApiKey.DoesNotExist):
        ApiKey.objects.named("nobody00")


def test_a_certificate_has_one_living_key(ann: Actor) -> None:
    key, _ = ApiKey.objects.issue(actor=ann, name="crawler", certificate="CN=crawler")
    with pytest.raises(ValidationError, match="revoke it first"):
        ApiKey.objects.issue(actor=ann, name="another", certificate="CN=crawler")
    heir, _ = key.rotate(ann, HOUR)
    assert heir.certificate == "CN=crawler"
    heir.revoke(ann)
    ApiKey.objects.issue(actor=ann, name="another", certificate="CN=crawler")
    ApiKey.objects.issue(actor=ann, name="free")
    ApiKey.objects.issue(actor=ann, name="free too")

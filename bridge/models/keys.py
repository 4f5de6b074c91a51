from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from bridge import keyformat
from bridge.grants import compiled
from bridge.models.audit import Actor, AuditEvent, changed, facts
from bridge.models.rules import Scope, default_scopes, known_scopes, model_globs, networks
from scheduler.models import Revised, RevisedQuerySet

__all__ = ["KEYS", "ApiKey", "KeyRefused", "Priority", "Scope", "State"]

KEYS = "keys"  # the topic whose revision number moves with every write
TOUCH_EVERY = timedelta(minutes=1)
# What rotation hands on to the new key.
INHERITED = [
    *("name", "owner", "team", "account", "scopes", "allowed_models", "allowed_cidrs", "certificate"),
    "priority",
    *("requests_per_minute", "tokens_per_minute", "parallel"),
    *("budget_tokens_day", "budget_tokens_month", "budget_tokens_total"),
    *("budget_money_day", "budget_money_month", "budget_money_total"),
]
# What the audit log never holds, or what is no event.
UNAUDITED = ("id", "digest", "pepper", "last_used_at")


class Priority(models.IntegerChoices):
    LOW = 0, "low"
    NORMAL = 1, "normal"
    HIGH = 2, "high"


class State(models.TextChoices):
    ACTIVE = "active", "active"
    GRACE = "grace", "replaced, in its grace period"
    REPLACED = "replaced", "replaced"
    EXPIRED = "expired", "expired"
    REVOKED = "revoked", "revoked"

    @property
    def works(self) -> bool:
        return self in (State.ACTIVE, State.GRACE)


class KeyRefused(ValueError):
    """The key's state does not allow what was asked; the message says why and what to do."""


class ApiKeyQuerySet(RevisedQuerySet["ApiKey"]):
    def touch(self, public_ids: Collection[str], at: datetime) -> int:
        """Note that these keys were used, in one statement; a row is written at most once a minute."""
        stale = Q(last_used_at=None) | Q(last_used_at__lt=at - TOUCH_EVERY)
        return self.filter(stale, public_id__in=public_ids).update(last_used_at=at)

    def in_state(self, state: str, now: datetime) -> ApiKeyQuerySet:
        """The keys of which `ApiKey.state` says this."""
        not_expired = Q(expires_at=None) | Q(expires_at__gt=now)
        living = Q(revoked_at=None) & not_expired
        return self.filter(
            {
                State.REVOKED: Q(revoked_at__isnull=False),
                State.EXPIRED: Q(revoked_at=None) & ~not_expired,
                State.REPLACED: living & Q(grace_ends_at__lte=now),
                State.GRACE: living & Q(grace_ends_at__gt=now),
                State.ACTIVE: living & Q(grace_ends_at=None),
            }[State(state)]
        )

    def expiring(self, now: datetime, within: timedelta) -> ApiKeyQuerySet:
        """Keys that work now and end by themselves within this time, leaving out those with a successor."""
        return self.in_state(State.ACTIVE, now).filter(expires_at__lte=now + within)

    def unverifiable(self) -> ApiKeyQuerySet:
        """Keys in use that were made with a pepper which this process was not given."""
        peppers = [settings.KEY_PEPPER, *settings.OLD_KEY_PEPPERS]
        return self.in_state(State.ACTIVE, timezone.now()).exclude(
            pepper__in=[keyformat.pepper_version(pepper) for pepper in peppers]
        )


class ApiKeyManager(models.Manager.from_queryset(ApiKeyQuerySet)):  # type: ignore[misc]
    def issue(self, *, actor: Actor, **fields: Any) -> tuple[ApiKey, str]:
        """Make a key. Its text is returned this once and kept nowhere. Raises ValidationError."""
        key = ApiKey(**fields)
        return key, key.issue(actor)

    def named(self, text: str) -> ApiKey:
        """The key of a public id, of its masked form or of the whole key. Raises ApiKey.DoesNotExist."""
        public_id = keyformat.public_id(text) if text.startswith(keyformat.PREFIX) else text
        key: ApiKey = self.get(public_id=public_id)
        return key


def _limit(label: str) -> models.PositiveIntegerField[int | None, int | None]:
    return models.PositiveIntegerField(label, null=True, blank=True, validators=[MinValueValidator(1)])


def _money(label: str) -> models.DecimalField[Decimal | None, Decimal | None]:
    at_least_nothing = [MinValueValidator(Decimal(0))]
    return models.DecimalField(
        label, max_digits=14, decimal_places=2, null=True, blank=True, validators=at_least_nothing
    )


class ApiKey(Revised):
    """A key that apps present. Its text is shown once; the row keeps a keyed hash of it."""

    topic = KEYS
    quiet = frozenset({"last_used_at"})

    public_id = models.CharField("id", max_length=8, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    pepper = models.CharField(max_length=8, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    account = models.CharField(max_length=8, editable=False, db_index=True)

    name = models.CharField(max_length=100, help_text="The app or person that uses it.")
    owner = models.CharField(max_length=100, blank=True, help_text="Who to ask about it.")
    team = models.CharField(max_length=100, blank=True, db_index=True, help_text="Reports add up by team.")

    scopes = models.JSONField(default=default_scopes, validators=[known_scopes])
    allowed_models = models.JSONField(
        default=list,
        blank=True,
        validators=[model_globs],
        help_text="Model names, * and ? allowed (llama3*, qwen2.5-coder:7b). A name without a tag means "
        ":latest. Empty: every model.",
    )
    allowed_cidrs = models.JSONField(
        "allowed networks",
        default=list,
        blank=True,
        validators=[networks],
        help_text="Networks or addresses that may use it (10.0.0.0/8, 192.0.2.7). Empty: from everywhere.",
    )
    certificate = models.CharField(
        "client certificate",
        max_length=255,
        blank=True,
        help_text="Subject of a client certificate (CN=app,O=Example): the key counts only with it, and it"
        " stands for the key where none is sent. Needs BRIDGE_CERTIFICATE_HEADER. Empty: none.",
    )

    priority = models.PositiveSmallIntegerField(
        choices=Priority, default=Priority.NORMAL, help_text="When a line is full, the lowest go first."
    )
    requests_per_minute = _limit("requests per minute")
    tokens_per_minute = _limit("tokens per minute")
    parallel = _limit("requests in parallel")
    budget_tokens_day = models.PositiveBigIntegerField("tokens a day (UTC)", null=True, blank=True)
    budget_tokens_month = models.PositiveBigIntegerField("tokens a month (UTC)", null=True, blank=True)
    budget_tokens_total = models.PositiveBigIntegerField("tokens in all", null=True, blank=True)
    budget_money_day = _money("money a day (UTC)")
    budget_money_month = _money("money a month (UTC)")
    budget_money_total = _money("money in all")

    created_at = models.DateTimeField("created", default=timezone.now, editable=False)
    last_used_at = models.DateTimeField("last used", null=True, blank=True, editable=False)
    expires_at = models.DateTimeField("expires", null=True, blank=True, help_text="Empty: never.")
    revoked_at = models.DateTimeField("revoked", null=True, blank=True, editable=False)
    revoked_reason = models.CharField(max_length=500, blank=True, editable=False)
    replaces = models.OneToOneField(
        "self", null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="replaced_by"
    )
    grace_ends_at = models.DateTimeField("works until", null=True, blank=True, editable=False)

    objects = ApiKeyManager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["certificate"],
                condition=Q(revoked_at=None, grace_ends_at=None) & ~Q(certificate=""),
                name="one_key_per_certificate",
                violation_error_message="Another key is bound to this certificate: revoke it first.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.masked})"

    @property
    def masked(self) -> str:
        """`obk_ab12cd34_…x9Qz`: what is shown after the first time."""
        return keyformat.masked(self.public_id, self.last_four)

    def state(self, now: datetime | None = None) -> State:
        now = now or timezone.now()
        if self.revoked_at is not None:
            return State.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return State.EXPIRED
        if self.grace_ends_at is not None:
            return State.REPLACED if self.grace_ends_at <= now else State.GRACE
        return State.ACTIVE

    @staticmethod
    def new_id() -> str:
        """A public id for a key that is not issued yet."""
        return keyformat.new_id()

    @staticmethod
    def check_format(token: str) -> str | None:
        """What is wrong with the text of a key; None for a well-formed one."""
        return keyformat.flaw(token)

    def may_use(self, model: str) -> bool:
        """Whether the key may use the model of this normalised name, as `bridge.grants` decides it."""
        return not self.allowed_models or any(glob.match(model) for glob in compiled(self.allowed_models))

    def issue(self, actor: Actor) -> str:
        """Write this new key, and return its text: the only time that it is there. Raises ValidationError,
        also when its `public_id` is taken: a form that brings one issues one key however often it is sent."""
        token = self._fit()
        self.full_clean()
        with transaction.atomic():
            self.save(force_insert=True)
            self._record(actor, "key.issue", after=facts(self, UNAUDITED))
        return token

    def save_changes(self, actor: Actor) -> bool:
        """Write what differs from the stored row, and only that; False when nothing does."""
        self.full_clean()
        with transaction.atomic():
            stored = ApiKey.objects.select_for_update().get(pk=self.pk)
            before, after = changed(facts(stored, UNAUDITED), facts(self, UNAUDITED))
            if not after:
                return False
            self.save(update_fields=list(after))
            self._record(actor, "key.change", before=before, after=after)
        return True

    def rotate(self, actor: Actor, grace: timedelta, *, public_id: str | None = None) -> tuple[ApiKey, str]:
        """Make a successor with the same rights, limits and length of life; this key works on for `grace`.

        Both draw on one account, so that rotation refills no budget. Raises KeyRefused unless active."""
        now = timezone.now()
        life = self.expires_at - self.created_at if self.expires_at else None
        heir = ApiKey(
            public_id=public_id or "",
            replaces=self,
            expires_at=now + life if life else None,
            **{name: getattr(self, name) for name in INHERITED},
        )
        with transaction.atomic():
            claimed = ApiKey.objects.in_state(State.ACTIVE, now).filter(pk=self.pk)
            if not claimed.update(grace_ends_at=now + grace):
                raise KeyRefused(self._why_not_rotated())
            self.refresh_from_db()
            after = {"grace_ends_at": self.grace_ends_at}
            self._record(actor, "key.rotate", before={"grace_ends_at": None}, after=after)
            token = heir.issue(actor)
        return heir, token

    def revoke(self, actor: Actor, reason: str = "") -> bool:
        """End the key at once; False when it was revoked before."""
        now = timezone.now()
        with transaction.atomic():
            living = ApiKey.objects.filter(pk=self.pk, revoked_at=None)
            revoked = living.update(revoked_at=now, revoked_reason=reason[:500])
            self.refresh_from_db()
            if revoked:
                after = {"revoked_at": now, "revoked_reason": self.revoked_reason}
                self._record(actor, "key.revoke", before={"revoked_at": None}, after=after, note=reason)
        return bool(revoked)

    def _fit(self) -> str:
        """Make the key's text, and what the row keeps of it."""
        self.public_id = self.public_id or keyformat.new_id()
        self.account = self.account or self.public_id
        token = keyformat.new_token(self.public_id)
        self.digest = keyformat.digest(token, settings.KEY_PEPPER.encode()).hex()
        self.pepper = keyformat.pepper_version(settings.KEY_PEPPER)
        self.last_four = token[-4:]
        return token

    def _record(self, actor: Actor, action: str, **sides: Any) -> None:
        AuditEvent.objects.record(actor, action, kind="key", target=self.public_id, name=self.name, **sides)

    def _why_not_rotated(self) -> str:
        self.refresh_from_db()
        state = self.state()
        if state in (State.GRACE, State.REPLACED):
            heir = ApiKey.objects.get(replaces=self)
            return f"{self.masked} was replaced by {heir.masked} already; rotate that one."
        return f"{self.masked} is {state.label}: issue a new key instead."

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from scheduler.models.access import Access, unseal
from scheduler.models.price import NOTHING, NodePrice
from scheduler.models.revision import Revised, RevisedQuerySet, Revision

MOST_SLOTS = 256
OLLAMA_PORT = 11434
AGENT_PORT = 9410


def clean_url(text: str, port: int = OLLAMA_PORT) -> str:
    """`http://gpu1:11434` from what an operator types (`gpu1`, `gpu1:11434`, a trailing slash)."""
    text = text.strip()
    parts = _split(text if "://" in text else f"http://{text}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValidationError("A node's address has no user, password, query or fragment in it.")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    stated = parts.port or (443 if parts.scheme == "https" else port)
    return f"{parts.scheme}://{host}:{stated}{parts.path.rstrip('/')}"


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ValidationError(f"{text!r} is not an address of an Ollama: use http://host:11434.")
    return parts


class NodeQuerySet(RevisedQuerySet["Node"]):
    def enabled(self) -> NodeQuerySet:
        return self.filter(enabled=True)

    def takes_work(self) -> NodeQuerySet:
        """Enabled, not draining, and neither down nor in quarantine."""
        return (
            self.enabled().filter(draining=False).exclude(state__in=(Node.State.DOWN, Node.State.QUARANTINED))
        )

    def seed(self, urls: Sequence[str]) -> list[Node]:
        """Make a row for each address that no node has yet; the new ones."""
        known = set(self.values_list("url", flat=True))
        wanted = dict.fromkeys(clean_url(url) for url in urls)
        return [self._seeded(url) for url in wanted if url not in known]

    def _seeded(self, url: str) -> Node:
        names = set(self.values_list("name", flat=True))
        try:
            with transaction.atomic():
                return self.create(name=name_for(url, names), url=url)
        except IntegrityError:  # another process seeds the same address now
            return self.get(url=url)


def name_for(url: str, taken: Iterable[str]) -> str:
    """The host's name, with its port when the name is taken already."""
    parts = urlsplit(url)
    host = (parts.hostname or "node").replace(":", "-")
    name = host if host not in taken else f"{host}-{parts.port}"
    return name[:64]


class Node(Revised):
    """One Ollama server, with its GPUs."""

    class State(models.TextChoices):
        UNKNOWN = "unknown", "not seen yet"
        UP = "up", "up"
        DOWN = "down", "down"
        QUARANTINED = "quarantined", "quarantined"  # its loads hang while its health is green

    class KvType(models.TextChoices):
        F16 = "f16", "f16"
        Q8_0 = "q8_0", "q8_0"
        Q4_0 = "q4_0", "q4_0"

    quiet = frozenset(
        {"last_seen_at", "last_error", "gpus", "gpus_at", "load_gbps", "state_reason", "scene", "scene_at"}
    )

    name = models.CharField(
        max_length=64,
        unique=True,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z", "Letters, digits, dots, dashes and underscores."
            )
        ],
    )
    url = models.CharField(
        "address", max_length=255, unique=True, help_text="http://host:11434, reachable from every bridge."
    )
    enabled = models.BooleanField(default=True)
    draining = models.BooleanField(default=False, help_text="Gets no new work; what runs there may end.")
    note = models.TextField(blank=True)
    slots = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="The node's OLLAMA_NUM_PARALLEL; empty: BRIDGE_DEFAULT_SLOTS.",
    )
    vram_bytes = models.PositiveBigIntegerField(
        "VRAM in bytes",
        null=True,
        blank=True,
        help_text="What models may take in all; empty: what the node's agent or NVML reports.",
    )
    kv_type = models.CharField(
        "KV cache type",
        max_length=8,
        choices=KvType.choices,
        default=KvType.F16,
        help_text="The node's OLLAMA_KV_CACHE_TYPE.",
    )
    load_gbps = models.FloatField("measured load speed, GB/s", null=True, blank=True, editable=False)
    price_per_hour = models.DecimalField(
        max_digits=10,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[NOTHING],
        help_text="Of the node with all its GPUs. A change holds from now on; the past keeps its price.",
    )
    price_per_kwh = models.DecimalField(
        "price per kWh",
        max_digits=10,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[NOTHING],
        help_text="Where energy is paid beside the hours.",
    )
    watts = models.PositiveIntegerField(
        null=True, blank=True, help_text="Under load; used where no power is measured."
    )
    agent_url = models.CharField(
        "address of its agent",
        max_length=255,
        blank=True,
        help_text="Where `manage.py agent` runs on the node's machine: http://host:9410. Empty: none.",
    )
    sealed = models.TextField(blank=True, default="", editable=False)  # scheduler.models.access
    gpu_uuids = models.JSONField(
        "its GPUs",
        default=list,
        blank=True,
        help_text='UUIDs, where the node has not all GPUs of its machine: ["GPU-…"]. Empty: all.',
    )
    version = models.CharField(max_length=64, blank=True, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    state = models.CharField(max_length=12, choices=State.choices, default=State.UNKNOWN, editable=False)
    state_since = models.DateTimeField(null=True, blank=True, editable=False)
    state_reason = models.TextField(blank=True, editable=False)
    gpus = models.JSONField("GPU readings", default=list, blank=True, editable=False)
    gpus_at = models.DateTimeField(null=True, blank=True, editable=False)
    scene = models.JSONField(default=dict, blank=True, editable=False)  # scheduler.residency.scene
    scene_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = NodeQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        for field, port in (("url", OLLAMA_PORT), ("agent_url", AGENT_PORT)):
            if text := getattr(self, field):
                try:
                    setattr(self, field, clean_url(text, port))
                except ValidationError as error:
                    raise ValidationError({field: error.messages}) from None
        if not isinstance(self.gpu_uuids, list) or not all(isinstance(u, str) for u in self.gpu_uuids):
            raise ValidationError({"gpu_uuids": 'A list of UUIDs: ["GPU-…"].'})
        if self.slots is not None and not 1 <= self.slots <= MOST_SLOTS:
            raise ValidationError({"slots": f"From 1 to {MOST_SLOTS}."})

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            fields = kwargs.get("update_fields")
            if fields is None or "price_per_hour" in fields or "price_per_kwh" in fields:
                NodePrice.objects.note(self.name, self.price_per_hour, self.price_per_kwh, timezone.now())

    @property
    def access(self) -> Access:
        """What the node asks for on every call."""
        return unseal(self.sealed)

    @property
    def parallel(self) -> int:
        """OLLAMA_NUM_PARALLEL, as entered or as settings say."""
        return self.slots or int(settings.DEFAULT_SLOTS)

    @property
    def vram_total(self) -> int | None:
        """Bytes that models may take in all: as entered, else what the GPUs have; None when unknown."""
        if self.vram_bytes is not None:
            return self.vram_bytes
        return sum(int(gpu["total"]) for gpu in self.gpus) or None

    @property
    def takes_work(self) -> bool:
        return self.enabled and not self.draining and self.state in (self.State.UNKNOWN, self.State.UP)

    def saw(self, *, version: str, at: datetime | None = None) -> None:
        """The node answered. A quarantine stays: only a proven load ends it."""
        self._set(last_seen_at=at or timezone.now(), last_error="")
        if version != self.version:
            self._set(version=version)
        self._move((self.State.UNKNOWN, self.State.DOWN), self.State.UP, "")

    def missed(self, error: str) -> None:
        """The node did not answer."""
        self._set(last_error=error)
        self._move((self.State.UNKNOWN, self.State.UP), self.State.DOWN, error)

    def become(self, state: str, reason: str) -> None:
        """Enter a state: the scheduler's own judgement, such as a quarantine and its end."""
        self._set(state=self.State(state), state_reason=reason, state_since=timezone.now())

    def read_gpus(self, gpus: list[dict[str, Any]], at: datetime) -> None:
        """Keep the newest readings of the node's GPUs (scheduler.gpus.Gpu as JSON)."""
        before = self.vram_total
        self._set(gpus=gpus, gpus_at=at)
        if self.vram_total != before:  # a reading says nothing new; what the node has in all does
            Revision.objects.bump(self.topic)

    def show(self, scene: Mapping[str, Any], at: datetime) -> None:
        """Keep what the leading scheduler sees there."""
        self._set(scene=dict(scene), scene_at=at)

    def _move(self, before: Sequence[str], state: str, reason: str) -> None:
        """Enter a state from one of those before; another process may have judged the node meanwhile."""
        mine = Node.objects.filter(pk=self.pk, state__in=before)
        if mine.update(state=state, state_reason=reason, state_since=timezone.now()):
            self.refresh_from_db(fields=["state", "state_reason", "state_since"])

    def _set(self, **values: Any) -> None:
        Node.objects.filter(pk=self.pk).update(**values)
        for name, value in values.items():
            setattr(self, name, value)

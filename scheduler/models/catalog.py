from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from scheduler.models.node import MOST_SLOTS, Node
from scheduler.models.revision import Revised, RevisedQuerySet
from scheduler.policy.names import BadName, normalise
from scheduler.policy.shape import NeedsVerbose, Shape
from scheduler.policy.shape import read as read_shape

# Families that Ollama runs with one slot whatever OLLAMA_NUM_PARALLEL says (server/sched.go, load).
SERIAL_FAMILIES = frozenset(
    {
        "mllama",
        "qwen3vl",
        "qwen3vlmoe",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "lfm2",
        "lfm2moe",
        "nemotron_h",
        "nemotron_h_moe",
        "nemotron_h_omni",
    }
)
POLICY_FIELDS = frozenset(
    {"enabled", "note", "num_ctx", "num_ctx_max", "buckets", "slots", "min_replicas", "think", "on_spill"}
)


def clean_name(name: str) -> str:
    """The normal form of a model name. Raises ValidationError."""
    try:
        return normalise(name)
    except BadName as error:
        raise ValidationError(str(error)) from None


class CatalogModelQuerySet(RevisedQuerySet["CatalogModel"]):
    def enabled(self) -> CatalogModelQuerySet:
        return self.filter(enabled=True)

    def untouched(self) -> CatalogModelQuerySet:
        """Models about which an operator decided nothing: nothing is lost when they leave the catalogue."""
        return self.filter(
            **{name: field.get_default() for name, field in CatalogModel.policy_fields().items()}
        )

    def held_nowhere(self) -> CatalogModelQuerySet:
        return self.filter(copies__isnull=True)


class CatalogModel(Revised):
    """A catalogue entry: what the nodes said about a model, and what the operator decided about it."""

    class Think(models.TextChoices):
        CLIENT = "", "as the client or Ollama decides"
        OFF = "off", "off"
        ON = "on", "on"
        LOW = "low", "low"
        MEDIUM = "medium", "medium"
        HIGH = "high", "high"

    class OnSpill(models.TextChoices):
        """When part of a model lands in host memory (size_vram below size)."""

        ALLOW = "allow", "allow"
        ALERT = "alert", "allow and alert"
        REFUSE = "refuse", "refuse"

    name = models.CharField(max_length=255, unique=True)

    enabled = models.BooleanField(default=True)
    note = models.TextField(blank=True)
    num_ctx = models.PositiveIntegerField(
        "context length",
        null=True,
        blank=True,
        help_text="In tokens, for each slot; empty: BRIDGE_DEFAULT_NUM_CTX, at most what it was trained for.",
    )
    num_ctx_max = models.PositiveIntegerField(
        "largest context length",
        null=True,
        blank=True,
        help_text="How far requests may grow it; empty: what it was trained for.",
    )
    buckets = models.JSONField(
        "context buckets",
        default=list,
        blank=True,
        help_text="The context lengths it may be loaded with, such as [8192, 32768]; empty: powers of two.",
    )
    slots = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Fewer than its nodes give; empty: what they give."
    )
    min_replicas = models.PositiveSmallIntegerField(
        "least replicas",
        default=0,
        help_text="Nodes that keep it loaded at any time, as far as there is room.",
    )
    think = models.CharField(
        max_length=6,
        choices=Think.choices,
        default=Think.CLIENT,
        blank=True,
        help_text="Where a request says nothing.",
    )
    on_spill = models.CharField(
        "when it spills",
        max_length=6,
        choices=OnSpill.choices,
        default=OnSpill.ALERT,
        help_text="When part of it lies in host memory after a load, which makes it slow.",
    )

    family = models.CharField(max_length=64, blank=True, editable=False)
    parameter_size = models.CharField(max_length=32, blank=True, editable=False)
    quantization = models.CharField(max_length=32, blank=True, editable=False)
    capabilities = models.JSONField(default=list, blank=True, editable=False)
    trained_ctx = models.PositiveIntegerField("trained context", null=True, blank=True, editable=False)
    size_bytes = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    first_seen_at = models.DateTimeField(auto_now_add=True)

    objects = CatalogModelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = "model"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def policy_fields(cls) -> dict[str, models.Field[Any, Any]]:
        """The fields that belong to the operator."""
        return {f.name: f for f in cls._meta.fields if f.name in POLICY_FIELDS}

    def clean(self) -> None:
        super().clean()
        self.name = clean_name(self.name)
        if self.slots is not None and not 1 <= self.slots <= MOST_SLOTS:
            raise ValidationError({"slots": f"From 1 to {MOST_SLOTS}."})
        self._clean_contexts()

    def _clean_contexts(self) -> None:
        largest = self.largest_ctx
        for field in ("num_ctx", "num_ctx_max"):
            value = getattr(self, field)
            if value is not None and not 4 <= value <= (self.trained_ctx or value):
                raise ValidationError(
                    {field: f"From 4 to the trained context, {self.trained_ctx or 'unknown'}."}
                )
        if self.num_ctx and largest and self.num_ctx > largest:
            raise ValidationError({"num_ctx": f"Above the largest context length, {largest}."})
        if not isinstance(self.buckets, list) or not all(
            type(bucket) is int and 4 <= bucket <= (largest or bucket) for bucket in self.buckets
        ):
            raise ValidationError({"buckets": f"A list of whole numbers from 4 to {largest or 'any'}."})
        self.buckets = sorted(set(self.buckets))

    @property
    def largest_ctx(self) -> int | None:
        """Tokens of context that a request may ask for; None when neither operator nor node says."""
        return min((n for n in (self.num_ctx_max, self.trained_ctx) if n), default=None)

    @property
    def default_ctx(self) -> int:
        """Tokens of context for each slot when no request asks for more."""
        wanted = self.num_ctx or int(settings.DEFAULT_NUM_CTX)
        return min(wanted, self.largest_ctx or wanted)

    @property
    def is_embedding_only(self) -> bool:
        return "embedding" in self.capabilities and "completion" not in self.capabilities

    def slots_on(self, node: Node) -> int:
        """Parallel generations of this model on a node: never more than Ollama gives it there."""
        if self.is_embedding_only or self.family in SERIAL_FAMILIES:
            return 1
        return min(node.parallel, self.slots or node.parallel)


class ModelOnNodeQuerySet(RevisedQuerySet["ModelOnNode"]):
    pass


class ModelOnNode(Revised):
    """A model as one node holds it."""

    quiet = frozenset({"seen_at"})

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="copies")
    model = models.ForeignKey(CatalogModel, on_delete=models.CASCADE, related_name="copies")
    digest = models.CharField(max_length=80)
    size_bytes = models.PositiveBigIntegerField(help_text="On disk.")
    modified_at = models.DateTimeField(null=True)
    details = models.JSONField(default=dict, help_text="As /api/tags gives them.")
    show = models.JSONField(default=dict, help_text="The numbers of /api/show that VRAM need follows from.")
    capabilities = models.JSONField(default=list)
    remote_host = models.CharField(
        max_length=255, blank=True, help_text="Where the node forwards calls to it."
    )
    seen_at = models.DateTimeField()

    objects = ModelOnNodeQuerySet.as_manager()

    class Meta:
        verbose_name = "model on a node"
        verbose_name_plural = "models on nodes"
        constraints = [models.UniqueConstraint(fields=["node", "model"], name="model_once_per_node")]
        indexes = [models.Index(fields=["digest"], name="model_on_node_digest")]

    def __str__(self) -> str:
        return f"{self.model} on {self.node}"

    @property
    def shape(self) -> Shape | None:
        """From /api/show; None where its numbers are not enough, then the weights alone are counted."""
        try:
            return read_shape(self.show.get("model_info", {}), vision="vision" in self.capabilities)
        except (NeedsVerbose, KeyError):
            return None

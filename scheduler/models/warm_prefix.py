"""Warm prefixes: what the prompts of many requests begin with, replayed so that its KV cache is there."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from scheduler.models.catalog import clean_name
from scheduler.models.revision import Revised, RevisedQuerySet

MOST_BYTES = 256 * 2**10  # of a prefix
MOST_TOOLS = 128


class WarmPrefixQuerySet(RevisedQuerySet["WarmPrefix"]):
    def usable(self) -> WarmPrefixQuerySet:
        """Those that are in force and whose text is known."""
        return self.filter(enabled=True).exclude(system="", tools=[])


class WarmPrefix(Revised):
    """What the requests of a model begin with. Of one that was seen in traffic only a hash is kept, until an
    operator lets its text be learned."""

    quiet = ("seen", "last_seen_at", "bytes")

    class Route(models.TextChoices):
        CHAT = "chat", "/api/chat, and all of /v1"
        GENERATE = "generate", "/api/generate"

    class Think(models.TextChoices):
        UNSAID = "", "not said"
        OFF = "off", "off"
        ON = "on", "on"
        LOW = "low", "low"
        MEDIUM = "medium", "medium"
        HIGH = "high", "high"

    class Source(models.TextChoices):
        OPERATOR = "operator", "an operator"
        TRAFFIC = "traffic", "traffic"

    model = models.CharField(max_length=255, help_text="A model of the catalogue.")
    enabled = models.BooleanField(default=True)
    route = models.CharField(max_length=8, choices=Route, default=Route.CHAT)
    system = models.TextField("system text", blank=True)
    tools = models.JSONField(default=list, blank=True, help_text="As in /api/chat, in the same order.")
    think = models.CharField(max_length=6, choices=Think, default=Think.UNSAID, blank=True)
    learn = models.BooleanField(
        "learn the text", default=False, help_text="Take system text and tools from the next request with it."
    )
    note = models.TextField(blank=True)
    digest = models.CharField("hash", max_length=64, editable=False)
    source = models.CharField(max_length=8, choices=Source, default=Source.OPERATOR, editable=False)
    bytes = models.PositiveIntegerField(default=0, editable=False)
    seen = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="Requests with it that were looked at."
    )
    last_seen_at = models.DateTimeField(null=True, editable=False)

    objects = WarmPrefixQuerySet.as_manager()

    class Meta:
        ordering = ["model", "-seen", "id"]
        verbose_name_plural = "warm prefixes"
        constraints = [models.UniqueConstraint(fields=["model", "digest"], name="one_row_for_a_prefix")]

    def __str__(self) -> str:
        return f"{self.model} {self.digest[:8]}"

    def clean(self) -> None:
        super().clean()
        self.model = clean_name(self.model)
        self._check_tools()
        if not self.system and not self.tools and self.source == self.Source.OPERATOR:
            raise ValidationError("A prefix has a system text, or tools, or both.")
        if self.route == self.Route.GENERATE and self.tools:
            raise ValidationError({"tools": "/api/generate takes no tools."})
        if self.system or self.tools:
            self.take(self.system, self.tools)
        if self.bytes > MOST_BYTES:
            raise ValidationError({"system": f"At most {MOST_BYTES // 2**10} KiB with the tools."})
        same = WarmPrefix.objects.filter(model=self.model, digest=self.digest).exclude(pk=self.pk)
        if same.exists():
            raise ValidationError("This prefix of this model is there already.")

    def take(self, system: str, tools: Sequence[Mapping[str, Any]]) -> None:
        """Set the text, and what follows from it."""
        self.system, self.tools = system, list(tools)
        self.digest, self.bytes = prefix_digest(self.route, system, tools, self.think)

    def _check_tools(self) -> None:
        tools = self.tools
        if not isinstance(tools, list) or len(tools) > MOST_TOOLS:
            raise ValidationError({"tools": f"A list of at most {MOST_TOOLS} tools."})
        if not all(isinstance(tool, dict) and isinstance(tool.get("function"), dict) for tool in tools):
            raise ValidationError({"tools": 'Each tool is {"type": "function", "function": {…}}.'})


def prefix_digest(route: str, system: str, tools: Sequence[Mapping[str, Any]], think: str) -> tuple[str, int]:
    """A keyed hash, so that a short text cannot be guessed from it, and the bytes hashed."""
    text = json.dumps([route, system, list(tools), think], separators=(",", ":"), ensure_ascii=False)
    data = text.encode("utf-8", "surrogatepass")
    key = hashlib.sha256(b"warm prefix" + settings.SECRET_KEY.encode()).digest()
    return hmac.new(key, data, "sha256").hexdigest(), len(data)


THINK = {"": None, "off": False, "on": True}  # as sent; the words stand for themselves


def sent_think(think: str) -> bool | str | None:
    """The value of the request's `think`; None: not sent."""
    return THINK.get(think, think)


def said_think(sent: object) -> str:
    """The word for a value of `think` as it was sent; what is neither is taken as not said."""
    for word, value in THINK.items():
        if sent is value:
            return word
    return sent if isinstance(sent, str) and sent in WarmPrefix.Think.values else ""

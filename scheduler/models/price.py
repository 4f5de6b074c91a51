from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from scheduler.policy.cost import Price

NOTHING = MinValueValidator(Decimal(0))


class NodePriceManager(models.Manager["NodePrice"]):
    def note(self, node: str, per_hour: Decimal | None, per_kwh: Decimal | None, at: datetime) -> None:
        """Begin a new price where it differs from the one in force; the past keeps its own. The first one a
        node gets holds from its beginning, since it had cost that before somebody entered it."""
        last = self.filter(node=node, since__lte=at).order_by("-since", "-id").first()
        wanted = (per_hour or Decimal(0), per_kwh or Decimal(0))
        if last is None:
            if any(wanted):
                self.create(node=node, since=BEGINNING, per_hour=wanted[0], per_kwh=wanted[1])
        elif (last.per_hour, last.per_kwh) != wanted:
            self.create(node=node, since=at, per_hour=wanted[0], per_kwh=wanted[1])

    def histories(self) -> dict[str, list[tuple[datetime, Price]]]:
        """By node, prices with when they begin, oldest first."""
        found: dict[str, list[tuple[datetime, Price]]] = defaultdict(list)
        for row in self.order_by("since", "id"):
            found[row.node].append((row.since, Price(per_hour=row.per_hour, per_kwh=row.per_kwh)))
        return found


BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
FREE = Price()


def price_at(history: Sequence[tuple[datetime, Price]], at: datetime) -> Price:
    """The price in force; nothing before the first."""
    found = FREE
    for since, price in history:
        if since > at:
            break
        found = price
    return found


class NodePrice(models.Model):
    """What a node costs since a moment. A change is a new row: it does not rewrite the past."""

    node = models.CharField(max_length=64)
    since = models.DateTimeField(default=timezone.now)
    per_hour = models.DecimalField(max_digits=10, decimal_places=4, default=Decimal(0), validators=[NOTHING])
    per_kwh = models.DecimalField(max_digits=10, decimal_places=4, default=Decimal(0), validators=[NOTHING])

    objects = NodePriceManager()

    class Meta:
        ordering = ["node", "-since"]
        indexes = [models.Index(fields=["node", "since"], name="price_node_since")]

    def __str__(self) -> str:
        return f"{self.node}: {self.per_hour} per hour since {self.since:%Y-%m-%d}"


class HostedPrice(models.Model):
    """What a hosted API asks for the like of our models: a table that the operator keeps."""

    name = models.CharField(
        max_length=100, unique=True, help_text="Of the offer, as you would tell it apart."
    )
    stands_for = models.CharField(
        "our models",
        max_length=255,
        help_text="Which of ours it would stand in for: a name or a pattern, such as llama3*.",
    )
    input_price = models.DecimalField(
        "input", max_digits=10, decimal_places=4, validators=[NOTHING], help_text="Per million prompt tokens."
    )
    cached_price = models.DecimalField(
        "cached input",
        max_digits=10,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[NOTHING],
        help_text="Per million prompt tokens from the cache; empty: as the others.",
    )
    output_price = models.DecimalField(
        "output",
        max_digits=10,
        decimal_places=4,
        validators=[NOTHING],
        help_text="Per million output tokens.",
    )
    as_of = models.DateField("as of", default=timezone.localdate, help_text="When you read it there.")
    source = models.URLField(blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def cost(self, tokens: Mapping[str, int]) -> Decimal:
        """Of `prompt_tokens` (`cached_tokens` of them cached) and `output_tokens`, in units of money."""
        cached = tokens["cached_tokens"]
        cached_price = self.input_price if self.cached_price is None else self.cached_price
        micros = (
            (tokens["prompt_tokens"] - cached) * self.input_price
            + cached * cached_price
            + tokens["output_tokens"] * self.output_price
        )
        return micros / 1_000_000

    def means(self, model: str) -> bool:
        pattern = self.stands_for.strip().lower()
        return fnmatchcase(
            model.lower(), pattern if ":" in pattern or "*" in pattern else f"{pattern}:latest"
        )

"""The sections of the file: which rows, what names them, which of their columns operators decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import models

from bridge.models import ApiKey, Team
from scheduler.models import (
    Alias,
    CatalogModel,
    GpuType,
    HostedPrice,
    Node,
    NodePrice,
    PinningPolicy,
    Workflow,
)
from scheduler.models.catalog import clean_name

FORMAT = 1  # of the file; another number is refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """`identity` finds the row of an entry, `fields` are read from it, `shown` is only for people."""

    name: str
    kind: str  # as the audit log calls it
    model: type[models.Model]
    identity: tuple[str, ...] = ("name",)
    fields: tuple[str, ...]
    shown: tuple[str, ...] = ()
    normal: Callable[[Any], Any] = lambda name: name  # of a name; raises ValidationError
    makes_rows: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.identity, *self.shown, *self.fields)


MONEY = ("budget_money_day", "budget_money_month", "budget_money_total")
# In the order of the import: prices before the nodes whose saving notes a price, models before the aliases
# that lead to them.
SECTIONS = (
    Section(
        name="node_prices",
        kind="node price",
        model=NodePrice,
        identity=("node", "since"),
        fields=("per_hour", "per_kwh"),
    ),
    Section(
        name="nodes",
        kind="node",
        model=Node,
        fields=(
            *("url", "enabled", "draining", "note", "slots", "vram_bytes", "kv_type"),
            *("price_per_hour", "price_per_kwh", "watts", "agent_url", "gpu_uuids"),
        ),
    ),
    Section(
        name="models",
        kind="model",
        model=CatalogModel,
        fields=tuple(CatalogModel.policy_fields()),
        normal=clean_name,
    ),
    Section(name="aliases", kind="alias", model=Alias, fields=("model", "note"), normal=clean_name),
    Section(
        name="pinning_policies",
        kind="pin",
        model=PinningPolicy,
        fields=(
            *("enabled", "model", "nodes", "min_replicas", "windows", "time_zone"),
            *("priority", "team", "note"),
        ),
    ),
    Section(
        name="workflows",
        kind="workflow",
        model=Workflow,
        fields=("enabled", "sequence", "repeats", "keys", "note"),
    ),
    Section(name="teams", kind="team", model=Team, fields=("note", *MONEY)),
    Section(
        name="hosted_prices",
        kind="hosted price",
        model=HostedPrice,
        fields=("stands_for", "input_price", "cached_price", "output_price", "as_of", "source"),
    ),
    Section(
        name="gpu_types",
        kind="gpu type",
        model=GpuType,
        fields=("enabled", "vram_gb", "load_gbps", "speed", "usd_per_hour", "note"),
    ),
    Section(
        name="keys",
        kind="key",
        model=ApiKey,
        identity=("public_id",),
        shown=("name", "owner", "team", "certificate", "created_at", "expires_at"),
        fields=(
            *("scopes", "allowed_models", "allowed_cidrs", "priority"),
            *("requests_per_minute", "tokens_per_minute", "parallel"),
            *("budget_tokens_day", "budget_tokens_month", "budget_tokens_total", *MONEY),
        ),
        makes_rows=False,  # the text of a key cannot be made from what the file says of it
    ),
)

"""What a plan is asked for, as a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone

from dashboard.planning import traffic
from dashboard.planning.traffic import Traffic
from scheduler.models import GpuType, PlanRun

if TYPE_CHECKING:
    AnyModelMultipleChoiceField = forms.ModelMultipleChoiceField[Any]
else:  # generic for the type checker only
    AnyModelMultipleChoiceField = forms.ModelMultipleChoiceField

SOURCES = (
    ("1", "our own traffic of yesterday"),
    ("7", "our own traffic of the last seven days"),
    ("upload", "a trace from a file"),
)
FIGURES = (
    ("wait_p95_s", "95 % of requests wait at most"),
    ("wait_p99_s", "99 % of requests wait at most"),
    ("wait_p50_s", "half of the requests wait at most"),
    ("ttft_p95_s", "95 % have their first token within"),
    ("ttft_p99_s", "99 % have their first token within"),
)
MOST_PINS = 50


class PinsField(forms.CharField):
    """One a line: MODEL, or MODEL*2 for two replicas. Cleans to (model, replicas)."""

    widget = forms.Textarea(
        attrs={"rows": 2, "cols": 40, "class": "lines", "placeholder": "llama3.2:latest*2"}
    )

    def clean(self, value: Any) -> Any:
        lines = [line.strip() for line in super().clean(value).splitlines() if line.strip()]
        if len(lines) > MOST_PINS:
            raise ValidationError(f"At most {MOST_PINS} pins.")
        return [_pin(line) for line in lines]


def _pin(line: str) -> tuple[str, int]:
    model, star, count = line.rpartition("*")
    if not star:
        return line, 1
    if not model or not count.isdecimal() or not 1 <= int(count) <= 64:
        raise ValidationError(f"{line!r} is no pin; give MODEL or MODEL*2.")
    return model.strip(), int(count)


class TypesField(AnyModelMultipleChoiceField):
    """Types of GPU, each with what matters in the choice."""

    widget = forms.CheckboxSelectMultiple

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name}: {obj.vram_gb:g} GB, ${obj.usd_per_hour:.2f} an hour"


class PlanForm(forms.Form):
    source = forms.ChoiceField(label="Plan for", choices=SOURCES, widget=forms.RadioSelect, initial="1")
    trace = forms.FileField(
        label="Trace", required=False, help_text="CSV, as manage.py report trace writes it."
    )
    sizes = forms.FileField(
        label="Its models",
        required=False,
        help_text="CSV of model, size_gb; without it, the catalogue's sizes.",
    )
    figure = forms.ChoiceField(label="Such that", choices=FIGURES, initial="wait_p95_s")
    seconds = forms.FloatField(label="seconds", min_value=0, max_value=3600, initial=2)
    growth = forms.FloatField(
        label="Times the users",
        min_value=0.1,
        max_value=10,
        initial=1,
        help_text="2 plans for twice as many users that do the same.",
    )
    kinds = TypesField(
        label="GPU types",
        queryset=GpuType.objects.none(),
        error_messages={"required": "Choose at least one type."},
    )
    policy = forms.ChoiceField(label="Run by", choices=PlanRun.POLICIES, initial="bridge")
    most_nodes = forms.IntegerField(label="Nodes at most", min_value=1, max_value=64, initial=16)
    slots = forms.IntegerField(
        label="Slots", min_value=1, max_value=64, initial=4, help_text="Parallel generations of a resident."
    )
    pins = PinsField(label="Pins", required=False, help_text="One model a line; MODEL*2 keeps two replicas.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        types: QuerySet[GpuType] = GpuType.objects.enabled()
        chosen: Any = self.fields["kinds"]
        chosen.queryset = types
        chosen.initial = [each.pk for each in types]

    def rest(self) -> list[forms.BoundField]:
        return [self[name] for name in ("growth", "policy", "most_nodes", "slots", "pins")]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("source") == "upload" and not cleaned.get("trace"):
            self.add_error("trace", "Choose the file.")
        return cleaned

    def traffic(self) -> Traffic:
        """Raises ValidationError where it cannot be had."""
        cleaned = self.cleaned_data
        if cleaned["source"] == "upload":
            return traffic.uploaded(cleaned["trace"], cleaned["sizes"])
        return traffic.own(int(cleaned["source"]), timezone.now())

    def question(self) -> dict[str, Any]:
        """As scheduler.planning.question reads it; types and prices are those of now."""
        cleaned = self.cleaned_data
        return {
            "kinds": [kind.as_json() for kind in cleaned["kinds"]],
            "targets": {cleaned["figure"]: cleaned["seconds"]},
            "policies": [cleaned["policy"]],
            "most_nodes": cleaned["most_nodes"],
            "slots": cleaned["slots"],
            "pins": cleaned["pins"],
            "growth": cleaned["growth"],
        }

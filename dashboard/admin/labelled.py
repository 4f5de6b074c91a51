from __future__ import annotations

from typing import Any

from django import forms


def label_parts(field: forms.Field | None, name: str) -> None:
    """Name the two inputs of a date with its time: Django prints "Date:" and "Time:" beside them, and labels
    neither. Does nothing where the field is absent, or only looked at."""
    widget: Any = getattr(field, "widget", None)
    if isinstance(widget, forms.MultiWidget):
        for part, what in zip(widget.widgets, ("date", "time"), strict=True):
            part.attrs["aria-label"] = f"{name}: {what}"

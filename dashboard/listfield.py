from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError


class ListField(forms.CharField):
    """A list in one line, separated by commas or spaces; `item` reads an item and may raise ValueError."""

    def __init__(self, *, item: Callable[[str], Any] = str, **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self._item = item

    def to_python(self, value: Any) -> Any:
        words = (super().to_python(value) or "").replace(",", " ").split()
        try:
            return [self._item(word) for word in words]
        except ValueError:
            raise ValidationError("Separate the items by commas.", code="invalid") from None

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def run_validators(self, value: Any) -> None:
        """Those of text do not fit lists."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (initial or []))
        except ValidationError:
            return True

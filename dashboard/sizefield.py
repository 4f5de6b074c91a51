from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

UNITS = {
    "": 1,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


class SizeField(forms.CharField):
    """Bytes, written with a unit: 24 GiB. Shown in GiB where that is exact."""

    def to_python(self, value: Any) -> Any:
        text = (super().to_python(value) or "").strip().lower().replace(",", "")
        if not text:
            return None
        found = SIZE.fullmatch(text)
        if found is None or found[2] not in UNITS:
            raise ValidationError("Write a size with its unit, such as 24 GiB or 24 GB.", code="invalid")
        return int(float(found[1]) * UNITS[found[2]])

    def validate(self, value: Any) -> None:
        if value is None and self.required:
            raise ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: Any) -> None:
        """Those of text do not fit numbers."""

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, int):
            return value
        return f"{value / 2**30:g} GiB" if value % 2**27 == 0 else str(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != initial)
        except ValidationError:
            return True

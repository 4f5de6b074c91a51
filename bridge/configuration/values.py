"""A value of the file as a column takes it: a wrong type is refused here and never turned into text."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.dateparse import parse_datetime

AnyField: TypeAlias = "models.Field[Any, Any]"


def plain(value: Any) -> Any:
    """A column's value as YAML shows it: decimals and moments as text, which loses nothing."""
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else value


def column_value(field: AnyField, value: Any) -> Any:
    """Raises ValidationError."""
    if value is None:
        if not field.null:
            raise ValidationError("It needs a value.")
        return None
    if isinstance(field, models.JSONField):
        return _json(value)
    if isinstance(field, models.BooleanField):
        return _of(value, bool, "true or false")
    if isinstance(field, models.CharField | models.TextField):
        return _text(value)
    if isinstance(field, models.DateTimeField):
        return _moment(value)
    if isinstance(field, models.DateField):
        return _day(field, value)
    return _number(field, value)


def _of(value: Any, kind: type, said: str) -> Any:
    if not isinstance(value, kind):
        raise ValidationError(f"It takes {said}.")
    return value


def _text(value: Any) -> str:
    text = str(_of(value, str, "text; put it in quotes"))
    if not _storable(text):
        raise ValidationError("It has characters that no database takes.")
    return text


def _storable(text: str) -> bool:
    """PostgreSQL refuses NUL, and lone surrogates cannot be encoded."""
    return "\0" not in text and text.encode("utf-8", "ignore").decode() == text


def _number(field: AnyField, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValidationError("It takes a number.")
    if isinstance(field, models.DecimalField):
        return field.to_python(str(value))
    if isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValidationError("It takes a number.")
    if isinstance(field, models.FloatField):
        return float(value)
    return _of(value, int, "a whole number")


def _moment(value: Any) -> datetime:
    try:
        moment = parse_datetime(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValidationError("It takes a moment with its zone, such as 2027-01-31T12:00:00+00:00.")
    return moment


def _day(field: AnyField, value: Any) -> Any:
    if isinstance(value, datetime) or not isinstance(value, date | str):
        raise ValidationError("It takes a day, such as 2027-01-31.")
    return field.to_python(value)


def _json(value: Any) -> Any:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        if json.loads(text) == value and "\\u0000" not in text and _storable(text):
            return value
    except (TypeError, ValueError, RecursionError):
        pass
    raise ValidationError("It takes lists, texts and numbers; put dates and keys of lists in quotes.")

"""What several lists and pages of the admin show in the same way."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

NONE = "—"


def badge(tone: str, text: str, title: str = "") -> SafeString:
    """A word on a coloured ground; `tone` is good, warn, bad or ''."""
    return format_html('<span class="badge {}" title="{}">{}</span>', tone, title, text)


def gib(size: float | None) -> str:
    """Bytes in GiB."""
    return NONE if size is None else f"{size / 2**30:,.1f} GiB"


def seconds(value: float | None) -> str:
    return NONE if value is None else f"{value:,.2f} s"


def ago(moment: datetime | None) -> str:
    """How long ago, in one unit."""
    if moment is None:
        return "never"
    past = max((timezone.now() - moment).total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if past >= 2 * length:
            return f"{past // length:.0f} {unit} ago"
    return f"{past:.0f} s ago"

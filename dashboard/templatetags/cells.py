"""Filters for what several pages show in the same way."""

from __future__ import annotations

from django import template

from dashboard import cells

register = template.Library()
register.filter("gib", cells.gib)

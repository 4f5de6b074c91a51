"""The policy's configuration as the settings have it."""

from __future__ import annotations

from dataclasses import replace

from django.conf import settings

from scheduler.policy.config import DEFAULT, Config


def configured() -> Config:
    """BRIDGE_PREFETCH says whether, BRIDGE_PREDICTOR by which rule."""
    if settings.PREFETCH == "off":
        return replace(DEFAULT, prefetch="off")
    return replace(
        DEFAULT,
        prefetch="confidence" if settings.PREDICTOR == "seed" else "value",
        prefetch_shadow=settings.PREFETCH == "shadow",
    )

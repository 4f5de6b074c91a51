"""System checks: a wrong mixture of settings is refused with an id and a hint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from bridge import env


@register(Tags.compatibility)
def single_mode_is_one_process(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Several web processes share limits, seats and revocations only through Redis and PostgreSQL."""
    problems: list[CheckMessage] = []
    if env.VALUES["BRIDGE_WORKERS"] > 1 and not env.VALUES["REDIS_URL"]:
        problems.append(
            Error(
                "BRIDGE_WORKERS is above 1 without REDIS_URL: each process would keep its own limits.",
                hint="Set REDIS_URL, or BRIDGE_WORKERS=1.",
                id="bridge.E001",
            )
        )
    if env.VALUES["BRIDGE_WORKERS"] > 1 and "sqlite" in settings.DATABASES["default"]["ENGINE"]:
        problems.append(
            checks.Warning(
                "BRIDGE_WORKERS is above 1 on SQLite: writers wait for each other.",
                hint="Set DATABASE_URL to a PostgreSQL database.",
                id="bridge.W001",
            )
        )
    return problems


@register(Tags.compatibility)
def names_are_known(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    return [
        checks.Warning(
            f"{name} is set, and no setting has this name.",
            hint="docs/settings.md lists them; look for a slip of the pen.",
            id="bridge.W002",
        )
        for name in env.unknown(os.environ)
    ]


@register(Tags.security)
def identities_come_from_somewhere(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """A header is believed only from listed proxies; TLS needs both of its files."""
    problems: list[CheckMessage] = []
    if env.VALUES["BRIDGE_CERTIFICATE_HEADER"] and not env.VALUES["BRIDGE_TRUSTED_PROXIES"]:
        problems.append(
            Error(
                "BRIDGE_CERTIFICATE_HEADER needs BRIDGE_TRUSTED_PROXIES: it is believed from nobody else.",
                hint="List the addresses of the proxies that verify certificates.",
                id="bridge.E003",
            )
        )
    for name in ("BRIDGE_TLS_CERTIFICATE", "BRIDGE_TLS_KEY"):
        path = env.VALUES[name]
        if path and not os.access(path, os.R_OK):
            problems.append(
                Error(
                    f"{name} names {path}, which this process cannot read.",
                    hint="Check the path and who may read it.",
                    id="bridge.E004",
                )
            )
    return problems


@register(Tags.compatibility)
def extras_are_installed(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """What a setting switches on must be there."""
    traced, signed = env.VALUES["BRIDGE_TRACE_ENDPOINT"], env.VALUES["BRIDGE_OIDC_URL"]
    factors = env.VALUES["BRIDGE_MFA"] != "off"
    wanted = {
        "tracing": (traced, "opentelemetry", "BRIDGE_TRACE_ENDPOINT is set"),
        "sso": (signed or factors, "allauth", "BRIDGE_MFA or BRIDGE_OIDC_URL is set"),
    }
    return [
        Error(
            f"{why}, and its extra is not installed.",
            hint=f"pip install -r requirements/{extra}.txt",
            id="bridge.E005",
        )
        for extra, (asked, package, why) in wanted.items()
        if asked and find_spec(package) is None
    ]


@register(Tags.security, deploy=True)
def debug_is_off(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.DEBUG:
        return []
    return [
        Error(
            "BRIDGE_DEBUG is on.", hint="Unset it: debug pages show settings to visitors.", id="bridge.E002"
        )
    ]

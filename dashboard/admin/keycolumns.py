"""How a key's facts are shown, in the list and on its page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from bridge.models import ApiKey, Scope, State
from dashboard.soon import SOON


class KeyColumns:
    """Columns for a ModelAdmin of keys."""

    @admin.display(description="name", ordering="name")
    def shown_name(self, key: ApiKey) -> SafeString:
        return format_html('{}<br><code class="key">{}</code>', key.name, key.masked)

    @admin.display(description="whose", ordering="team")
    def whose(self, key: ApiKey) -> SafeString | str:
        named = [name for name in (key.team, key.owner) if name]
        return format_html_join(SafeString("<br>"), "{}", ((name,) for name in named)) or "nobody named"

    @admin.display(description="key", ordering="public_id")
    def shown_id(self, key: ApiKey) -> SafeString:
        return format_html('<code class="key">{}</code>', key.masked)

    @admin.display(description="state")
    def shown_state(self, key: ApiKey) -> SafeString:
        state = key.state()
        since = {
            State.REVOKED: key.revoked_at,
            State.EXPIRED: key.expires_at,
            State.REPLACED: key.grace_ends_at,
            State.GRACE: key.grace_ends_at,
        }.get(state)
        text = "grace period" if state == State.GRACE else state.value
        title = f"{'until' if state == State.GRACE else 'since'} {since:%Y-%m-%d %H:%M} UTC" if since else ""
        if state == State.REVOKED and key.revoked_reason:
            title += f": {key.revoked_reason}"
        return format_html('<span class="badge {}" title="{}">{}</span>', state.value, title, text)

    @admin.display(description="may")
    def may(self, key: ApiKey) -> SafeString:
        models = ", ".join(key.allowed_models[:2])
        if (more := len(key.allowed_models) - 2) > 0:
            models += f" and {more} more"
        return format_html("{}<br>{}", ", ".join(key.scopes), models or "every model")

    @admin.display(description="limits")
    def limits(self, key: ApiKey) -> SafeString | str:
        limits = [
            text.format(short(value))
            for value, text in (
                (key.requests_per_minute, "{}/min"),
                (key.tokens_per_minute, "{} tokens/min"),
                (key.parallel, "{} in parallel"),
                (key.budget_tokens_day, "{} tokens/day"),
                (key.budget_tokens_month, "{} tokens/month"),
                (key.budget_tokens_total, "{} tokens in all"),
            )
            if value is not None
        ]
        return format_html_join(SafeString("<br>"), "{}", ((limit,) for limit in limits)) or "none"

    @admin.display(description="last used", ordering="last_used_at")
    def used(self, key: ApiKey) -> SafeString | str:
        if key.last_used_at is None:
            return "never"
        at = key.last_used_at.strftime("%Y-%m-%d %H:%M UTC")
        return format_html('<span title="{}">{}</span>', at, naturaltime(key.last_used_at))

    @admin.display(description="state", ordering="expires_at")
    def standing(self, key: ApiKey) -> SafeString:
        """The state, and until when."""
        if key.expires_at is None or not key.state().works:
            return self.shown_state(key)
        soon = "soon" if key.expires_at - timezone.now() < SOON else ""
        until = key.expires_at.strftime("until %Y-%m-%d")
        return format_html('{}<br><span class="{}">{}</span>', self.shown_state(key), soon, until)

    @admin.display(description="family")
    def kin(self, key: ApiKey) -> str | SafeString:
        heir = ApiKey.objects.filter(replaces=key).first()
        links = [("Replaces", key.replaces), ("Replaced by", heir)]
        return (
            format_html_join(
                ", ",
                '{} <a href="{}"><code class="key">{}</code></a>',
                (
                    (how, reverse("admin:bridge_apikey_change", args=[other.pk]), other.masked)
                    for how, other in links
                    if other is not None
                ),
            )
            or "Was never rotated."
        )

    @admin.display(description="scopes")
    def scope_list(self, key: ApiKey) -> str:
        return ", ".join(Scope(scope).value for scope in key.scopes)

    @admin.display(description="allowed models")
    def model_list(self, key: ApiKey) -> str:
        return ", ".join(key.allowed_models) or "every model"

    @admin.display(description="allowed networks")
    def network_list(self, key: ApiKey) -> str:
        return ", ".join(key.allowed_cidrs) or "from everywhere"


def short(number: Any) -> str:
    """1500000 as 1.5M; small numbers as they are."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from bridge.models import AuditEvent
from dashboard.admin.readonly import ReadOnlyAdmin


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "source", "action", "about", "what", "address")
    list_filter = ("source", "kind", "action")
    search_fields = ("actor", "name", "=target", "note")
    search_help_text = "Actor, name or id of the target, or words of the reason."
    date_hierarchy = "at"
    fields = ("at", "actor", "source", "address", "action", "about", "note", "sides")

    @admin.display(description="target", ordering="target")
    def about(self, event: AuditEvent) -> str:
        known = f"{event.name} ({event.target})" if event.name != event.target else event.name
        return f"{event.kind} {known if event.name else event.target}"

    @admin.display(description="changes")
    def what(self, event: AuditEvent) -> str:
        """The reason, or what changed; what was new or deleted as a whole is on the event's own page."""
        both = event.before and event.after
        names = event.note or (", ".join(label(name) for name in event.after) if both else "")
        return names if len(names) <= 80 else names[:79] + "…"

    @admin.display(description="values")
    def sides(self, event: AuditEvent) -> SafeString:
        names = dict.fromkeys([*event.before, *event.after])
        rows = format_html_join(
            "",
            '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>',
            ((label(name), shown(event.before, name), shown(event.after, name)) for name in names),
        )
        head = '<tr><th scope="col">field</th><th scope="col">before</th><th scope="col">after</th></tr>'
        return format_html(
            '<table class="sides"><thead>{}</thead><tbody>{}</tbody></table>', SafeString(head), rows
        )


def label(name: str) -> str:
    return name.replace("_", " ")


def shown(side: dict[str, Any], name: str) -> str:
    if name not in side or side[name] in (None, "", []):
        return "none"
    value = side[name]
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value)
    return value if isinstance(value, str) else json.dumps(value)

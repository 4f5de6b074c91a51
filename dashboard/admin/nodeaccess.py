"""What a node asks for, in its form: written, never read back."""

from __future__ import annotations

import hashlib
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from dashboard.generic import AnyModelForm
from scheduler.models import OPEN, Access, Node
from scheduler.models.access import access_of, ends_at, seal, signers

SECRET = {"rows": 3, "cols": 60, "autocomplete": "off", "spellcheck": "false"}


class AccessFields(AnyModelForm):
    """Empty fields leave what is kept; `forget_access` drops it first."""

    new_headers = forms.CharField(
        label="Headers",
        required=False,
        widget=forms.Textarea(attrs=SECRET | {"placeholder": "Authorization: Bearer …"}),
        help_text="Sent with every call, one on each line. They replace those that are kept.",
    )
    new_authority = forms.CharField(
        label="Authority",
        required=False,
        widget=forms.Textarea(attrs=SECRET | {"placeholder": "-----BEGIN CERTIFICATE-----"}),
        help_text="PEM. The one that signed the node's certificate; then no other counts.",
    )
    forget_access = forms.BooleanField(label="Forget what is kept", required=False)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        self._given = {
            field: self._read(field)
            for field in ("new_headers", "new_authority")
            if self.cleaned_data.get(field)
        }
        return cleaned

    def save(self, commit: bool = True) -> Any:
        node: Node = self.instance
        kept = OPEN if self.cleaned_data.get("forget_access") else node.access
        if self._given or (kept == OPEN and node.sealed):
            headers = self._given.get("new_headers", kept).headers
            authority = self._given.get("new_authority", kept).authority
            node.sealed = seal(Access(headers=headers, authority=authority))
        return super().save(commit)

    def _read(self, field: str) -> Access:
        text = self.cleaned_data[field]
        try:
            return access_of(text, "") if field == "new_headers" else access_of("", text)
        except ValidationError as error:
            self.add_error(field, error)
            return OPEN


def described(node: Node) -> str:
    """What is kept, without a value; the mark at its end changes with every change."""
    if not node.sealed:
        return ""
    access = node.access
    if access.fault:
        return f"Cannot be read: {access.fault}."
    said = [f"headers {', '.join(access.names)}"] if access.headers else []
    if end := ends_at(access.authority):
        said.append(f"authority {', '.join(signers(access.authority))}, until {end:%Y-%m-%d}")
    return f"{'; '.join(said)} (sealed {hashlib.sha256(node.sealed.encode()).hexdigest()[:8]})"

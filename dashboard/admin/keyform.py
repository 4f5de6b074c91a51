"""The form of a key, and the mark that makes one form issue one key."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core import signing
from django.core.exceptions import ValidationError

from bridge.models import ApiKey, Scope
from bridge.models.rules import default_scopes
from dashboard.admin.labelled import label_parts
from dashboard.generic import AnyModelForm

SALT = "dashboard.key"
MARK_LASTS_S = 24 * 3600


def new_mark() -> str:
    """A signed public id for the key that a form is going to issue. Sent twice (a double click, a reload of
    the answer), the second one finds its id taken instead of making a second key."""
    return signing.dumps(ApiKey.new_id(), salt=SALT)


def public_id_of(mark: str) -> str:
    """Raises ValidationError for a mark that is not ours, is old, or has issued its key."""
    try:
        public_id: str = signing.loads(mark, salt=SALT, max_age=MARK_LASTS_S)
    except signing.BadSignature:
        raise ValidationError("This form is too old. Load the page again.") from None
    if ApiKey.objects.filter(public_id=public_id).exists():
        raise ValidationError(
            f"This form issued the key {public_id} already. Its text was shown then and is"
            " kept nowhere; if it was lost, rotate that key."
        )
    return public_id


class LinesField(forms.CharField):
    """A list, one entry a line (commas and spaces do as well)."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", AdminTextareaWidget(attrs={"rows": 3, "class": "lines"}))
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, list) else (value or "").replace(",", " ").split()

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(initial) != self.to_python(data))


class KeyForm(AnyModelForm):
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices, initial=default_scopes, widget=forms.CheckboxSelectMultiple
    )
    allowed_models = LinesField(required=False, help_text=ApiKey._meta.get_field("allowed_models").help_text)
    allowed_cidrs = LinesField(
        required=False,
        label="Allowed networks",
        help_text=ApiKey._meta.get_field("allowed_cidrs").help_text,
    )

    class Meta:
        model = ApiKey
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        label_parts(self.fields.get("expires_at"), "Expires")


class NewKeyForm(KeyForm):
    mark = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["mark"].initial = new_mark

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if mark := self.cleaned_data.get("mark"):
            self.instance.public_id = public_id_of(mark)
        return cleaned


class RotateForm(forms.Form):
    HOURS = (
        (0, "at once"),
        (1, "after an hour"),
        (24, "after a day"),
        (168, "after a week"),
        (720, "after 30 days"),
    )

    grace = forms.TypedChoiceField(
        label="The old key stops working", choices=HOURS, coerce=int, initial=24, widget=forms.RadioSelect
    )
    mark = forms.CharField(widget=forms.HiddenInput)

    def clean_mark(self) -> str:
        """The public id of the successor."""
        return public_id_of(self.cleaned_data["mark"])


class RevokeForm(forms.Form):
    reason = forms.CharField(
        required=False,
        max_length=500,
        help_text="Kept in the audit log.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )

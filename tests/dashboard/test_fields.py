from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from dashboard.listfield import ListField
from dashboard.sizefield import SizeField

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24 GiB", 24 * GIB),
        ("24gib", 24 * GIB),
        ("22.5 GiB", int(22.5 * GIB)),
        ("24 GB", 24 * 10**9),
        ("1,024", 1024),
        ("", None),
    ],
)
def test_a_size_is_read_with_its_unit(text: str, size: int | None) -> None:
    assert SizeField(required=False).clean(text) == size


@pytest.mark.parametrize("text", ["much", "24 gigs", "-1 GiB", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="24 GiB"):
        SizeField(required=False).clean(text)


def test_a_size_is_shown_as_it_would_be_typed() -> None:
    field = SizeField(required=False)
    assert field.prepare_value(24 * GIB) == "24 GiB"
    assert field.prepare_value(22 * GIB + GIB // 2) == "22.5 GiB"
    assert field.prepare_value(12345) == "12345"
    assert not field.has_changed(24 * GIB, "24 GiB")
    assert field.has_changed(24 * GIB, "48 GiB")
    assert field.has_changed(24 * GIB, "much")
    with pytest.raises(ValidationError):
        SizeField(required=True).clean("")


def test_a_list_is_separated_by_commas_or_spaces() -> None:
    field = ListField(item=int)
    assert field.clean("8192, 32768") == field.clean("8192 32768") == [8192, 32768]
    assert field.clean("") == []
    assert field.prepare_value([8192, 32768]) == "8192, 32768"
    assert not field.has_changed([8192], "8192")
    assert field.has_changed([8192], "x")
    with pytest.raises(ValidationError, match="commas"):
        field.clean("some")

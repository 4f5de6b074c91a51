"""What a node asks for, sealed in its row."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError

from scheduler.models import OPEN, Access
from scheduler.models.access import access_of, ends_at, resealed, seal, signers, unseal
from tests.deploy.certificates import Authority

SECRET = "Bearer s3cret-of-the-node"
ASKED = Access(headers=(("Authorization", SECRET), ("X-Team", "search")))


@pytest.fixture
def authority(tmp_path: Path) -> str:
    return Authority(tmp_path, "Nodes").path.read_text()


def test_what_is_sealed_comes_back_whole(authority: str) -> None:
    access = Access(headers=ASKED.headers, authority=authority)
    assert unseal(seal(access)) == access


def test_a_node_that_asks_for_nothing_has_nothing_sealed() -> None:
    assert seal(OPEN) == ""
    assert unseal("") is OPEN


def test_a_stolen_row_tells_nothing() -> None:
    text = seal(ASKED)
    assert SECRET not in text
    assert "Authorization" not in text
    assert seal(ASKED) != text  # nor whether two nodes have the same header


@pytest.mark.parametrize("at", [5, 40, 100])
def test_an_altered_row_is_an_error(at: int) -> None:
    text = seal(ASKED)
    other = "A" if text[at] != "A" else "B"
    altered = text[:at] + other + text[at + 1 :]
    assert unseal(altered).fault
    assert unseal(altered).headers == ()
    assert unseal("€").fault


def test_another_secret_opens_nothing_and_an_old_one_does(settings: LazySettings) -> None:
    settings.NODE_SECRETS = ("first",)
    text = seal(ASKED)
    settings.NODE_SECRETS = ("second",)
    assert "BRIDGE_OLD_NODE_SECRETS" in unseal(text).fault
    with pytest.raises(ValueError, match="another secret"):
        resealed(text)
    settings.NODE_SECRETS = ("second", "first")
    assert unseal(text) == ASKED
    anew = resealed(text)
    settings.NODE_SECRETS = ("second",)
    assert unseal(anew) == ASKED
    assert resealed("") == ""


def test_a_value_is_in_no_picture_of_it() -> None:
    assert SECRET not in repr(ASKED)
    assert SECRET not in str(ASKED)
    assert ASKED.names == ("Authorization", "X-Team")


def test_headers_are_read_line_by_line() -> None:
    assert access_of(f"Authorization: {SECRET}\n\n  X-Team :search \n", "") == ASKED


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("Authorization", "Name: value"),
        ("Two Words: a", "Name: value"),
        ("X-A: ", "Name: value"),
        ("X-A: ü", "Name: value"),
        ("X-A: a\rX-B: b", "Name: value|twice"),
        ("Host: elsewhere", "bridge itself"),
        ("transfer-encoding: chunked", "bridge itself"),
        ("X-A: 1\nx-a: 2", "twice"),
        ("\n".join(f"X-{n}: 1" for n in range(21)), "At most 20"),
    ],
)
def test_what_is_no_header_of_a_node_is_refused(lines: str, says: str) -> None:
    if "\r" in lines:  # two headers in a line's clothes become two lines, and never one value
        assert access_of(lines, "").names == ("X-A", "X-B")
        return
    with pytest.raises(ValidationError, match=says):
        access_of(lines, "")


@pytest.mark.parametrize("text", ["hello", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="no certificate"):
        access_of("", text)


def test_a_private_key_is_not_taken_in(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).sign("node")
    with pytest.raises(ValidationError, match="private key"):
        access_of("", certificate.read_text() + key.read_text())


def test_an_authority_is_told_by_its_subject_and_its_end(authority: str) -> None:
    assert signers(authority) == ["CN=Nodes,O=Example"]
    end = ends_at(authority)
    assert end is not None
    assert end > datetime.now(UTC)
    assert ends_at("") is None

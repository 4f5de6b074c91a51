"""The environment: how each kind of setting is read, from a name or a file, and what a wrong one says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge import env
from tests.serving import ROOT


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), (" yes ", True), ("on", True), ("0", False), ("No", False), ("", False)],
)
def test_a_boolean_is_read(text: str, *, value: bool) -> None:
    assert env.boolean(text) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [("30", 30.0), ("2.5", 2.5), ("90s", 90.0), ("10m", 600.0), ("1h", 3600.0), ("2d", 172800.0)],
)
def test_a_duration_is_read_in_seconds(text: str, value: float) -> None:
    assert env.seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("65536", 65536), ("64MiB", 2**26), ("1.5KiB", 1536), ("2GiB", 2**31), ("1TiB", 2**40)],
)
def test_a_size_is_read_in_bytes(text: str, value: int) -> None:
    assert env.size(text) == value


def test_words_are_separated_by_commas_or_spaces() -> None:
    assert env.words("a,b c, d") == ("a", "b", "c", "d")
    assert env.words("") == ()


@pytest.mark.parametrize(
    ("name", "text", "takes"),
    [
        ("BRIDGE_PORT", "http", "takes a whole number"),
        ("BRIDGE_DEADLINE", "soon", "takes seconds"),
        ("BRIDGE_DEADLINE", "-1", "not negative"),
        ("BRIDGE_DEADLINE", "inf", "not negative"),
        ("BRIDGE_DEADLINE", "nan", "not negative"),
        ("BRIDGE_BODY_LIMIT", "64MB", "takes bytes"),
        ("BRIDGE_DEBUG", "maybe", "takes 1 or 0"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_what_it_takes(name: str, text: str, takes: str) -> None:
    with pytest.raises(env.BadSetting, match=takes) as error:
        env.read({name: text})
    assert str(error.value).startswith(name)
    assert repr(text) in str(error.value)


def test_every_setting_has_a_default_that_can_be_read() -> None:
    values = env.read({})
    assert set(values) == {setting.name for setting in env.SETTINGS}
    assert values["BRIDGE_PORT"] == 8080
    assert values["BRIDGE_DEADLINE"] == 600.0


def test_a_value_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from the file\n")
    assert env.read({"SECRET_KEY_FILE": str(file)})["SECRET_KEY"] == "from the file"
    both = {"SECRET_KEY_FILE": str(file), "SECRET_KEY": "given"}
    assert env.read(both)["SECRET_KEY"] == "given"


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(env.BadSetting, match=r"BRIDGE_PEPPER_FILE names .*nothing.*No such file"):
        env.read({"BRIDGE_PEPPER_FILE": str(tmp_path / "nothing")})


def test_names_that_no_setting_has_are_found() -> None:
    environ = {"BRIDGE_PRT": "1", "BRIDGE_PORT": "1", "BRIDGE_PORT_FILE": "x", "HOME": "/", "OLLAMA_X": ""}
    assert env.unknown(environ) == ["BRIDGE_PRT"]


def test_the_page_of_settings_is_what_the_code_says() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "bridge.env"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert told == (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), "run `make docs`"
    assert all(f"`{setting.name}`" in told for setting in env.SETTINGS)


@pytest.mark.parametrize(
    ("host", "public", "url"),
    [
        ("127.0.0.1", "", "http://127.0.0.1:8080"),
        ("0.0.0.0", "", "http://127.0.0.1:8080"),
        ("::", "", "http://[::1]:8080"),
        ("0.0.0.0", "https://llm.example/", "https://llm.example"),
    ],
)
def test_the_public_address_is_one_that_can_be_followed(
    monkeypatch: pytest.MonkeyPatch, host: str, public: str, url: str
) -> None:
    values = env.read({"BRIDGE_HOST": host, "BRIDGE_PUBLIC_URL": public})
    monkeypatch.setattr(env, "VALUES", values)
    assert env.public_url() == url


def test_groups_of_an_issuer_are_mapped_to_ours() -> None:
    roles = {"BRIDGE_OIDC_ROLES": "llm-ops=Operator, llm keys=Key manager,"}
    assert env.read(roles)["BRIDGE_OIDC_ROLES"] == {"llm-ops": "Operator", "llm keys": "Key manager"}
    assert env.read({})["BRIDGE_OIDC_ROLES"] == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BRIDGE_OIDC_ROLES", "llm-ops"),
        ("BRIDGE_OIDC_ROLES", "=Operator"),
        ("BRIDGE_MFA", "always"),
        ("BRIDGE_TRACE_SHARE", "1.5"),
        ("BRIDGE_TRACE_SHARE", "half"),
    ],
)
def test_a_wrong_value_of_an_extras_setting_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(env.BadSetting, match=name):
        env.read({name: text})

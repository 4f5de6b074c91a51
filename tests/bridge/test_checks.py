"""System checks of the settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings

from bridge import checks, env


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set settings by name."""

    def give(**values: object) -> None:
        monkeypatch.setattr(env, "VALUES", {**env.VALUES, **values})

    return give


def found(problems: list[Any]) -> list[str]:
    assert all(problem.hint for problem in problems)
    return [problem.id for problem in problems]


def test_one_process_needs_nothing() -> None:
    assert checks.single_mode_is_one_process(None) == []


def test_several_processes_need_redis_and_postgresql(given: Any) -> None:
    given(BRIDGE_WORKERS=2)
    assert found(checks.single_mode_is_one_process(None)) == ["bridge.E001", "bridge.W001"]
    given(REDIS_URL="redis://localhost")
    assert found(checks.single_mode_is_one_process(None)) == ["bridge.W001"]


def test_a_slip_of_the_pen_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.names_are_known(None) == []
    monkeypatch.setenv("BRIDGE_PROT", "8080")
    (warning,) = checks.names_are_known(None)
    assert warning.id == "bridge.W002"
    assert "BRIDGE_PROT" in warning.msg


def test_debug_is_an_error_in_a_deployment(settings: LazySettings) -> None:
    settings.DEBUG = False
    assert checks.debug_is_off(None) == []
    settings.DEBUG = True
    assert found(checks.debug_is_off(None)) == ["bridge.E002"]


def test_a_certificate_header_needs_proxies_to_believe(given: Any) -> None:
    assert checks.identities_come_from_somewhere(None) == []
    given(BRIDGE_CERTIFICATE_HEADER="X-Subject")
    assert found(checks.identities_come_from_somewhere(None)) == ["bridge.E003"]
    given(BRIDGE_CERTIFICATE_HEADER="X-Subject", BRIDGE_TRUSTED_PROXIES=("10.0.0.1",))
    assert checks.identities_come_from_somewhere(None) == []


def test_a_certificate_that_cannot_be_read_is_said_before_the_server_starts(given: Any) -> None:
    given(BRIDGE_TLS_CERTIFICATE="/nowhere/cert.pem", BRIDGE_TLS_KEY="/nowhere/key.pem")
    assert found(checks.identities_come_from_somewhere(None)) == ["bridge.E004"] * 2


@pytest.mark.parametrize(
    ("name", "value", "extra"),
    [
        ("BRIDGE_TRACE_ENDPOINT", "http://collector:4318", "tracing"),
        ("BRIDGE_OIDC_URL", "https://id.example.com", "sso"),
        ("BRIDGE_MFA", "required", "sso"),
    ],
)
def test_a_setting_whose_extra_is_not_installed_is_refused_with_a_cure(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, extra: str
) -> None:
    monkeypatch.setitem(env.VALUES, name, value)
    assert checks.extras_are_installed(None) == []
    monkeypatch.setattr(checks, "find_spec", lambda package: None)
    (problem,) = checks.extras_are_installed(None)
    assert (problem.id, problem.hint) == ("bridge.E005", f"pip install -r requirements/{extra}.txt")

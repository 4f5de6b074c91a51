"""The units name what exists, stop after the drain, and confine what they start."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from bridge import env
from tests.deploy.files import DEPLOY

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
HARDENED = {
    *("NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "UMask=0077"),
    *("CapabilityBoundingSet=", "RestrictNamespaces=yes", "RestrictSUIDSGID=yes", "LockPersonality=yes"),
    *("SystemCallFilter=@system-service", "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX"),
}
each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)


def test_every_role_has_a_unit() -> None:
    started = {started_by(unit).split()[0] for unit in UNITS}
    assert started == {"serve", "runscheduler", "agent"}


def started_by(unit: Path) -> str:
    found = re.search(r"^ExecStart=\S+/python manage\.py (.+)$", unit.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@each_unit
def test_the_command_and_its_options_exist(unit: Path) -> None:
    name, *options = started_by(unit).split()
    app = get_commands()[name]
    assert isinstance(app, str)
    load_command_class(app, name).create_parser("manage.py", name).parse_args(options)


@each_unit
def test_it_is_confined_and_is_not_root(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert HARDENED - set(lines) == set()
    assert "User=ollama-bridge" in lines


@each_unit
def test_it_starts_again_after_a_failure_and_its_settings_are_known(unit: Path) -> None:
    text = unit.read_text()
    assert "Restart=on-failure" in text
    known = {setting.name for setting in env.SETTINGS}
    assert set(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE)) <= known


def test_a_stop_waits_for_open_streams() -> None:
    text = (DEPLOY / "systemd" / "ollama-bridge.service").read_text()
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    default = next(setting.default for setting in env.SETTINGS if setting.name == "BRIDGE_DRAIN_TIMEOUT")
    assert int(stop_s) >= env.seconds(default) + 20


@each_unit
def test_systemd_finds_nothing_wrong(unit: Path, tmp_path: Path) -> None:
    """Where systemd is installed. What it starts is exchanged for a program that this machine has."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed here.")
    copy = tmp_path / unit.name
    text = unit.read_text().replace("/opt/ollama-bridge/.venv/bin/python", "/bin/true")
    copy.write_text(re.sub(r"^(Documentation|User|Group|WorkingDirectory)=.*\n", "", text, flags=re.M))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=30
    )
    assert unit.name not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr

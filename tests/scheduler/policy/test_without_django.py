"""The policy needs nothing but Python: it imports, and its tests pass, where Django cannot be found."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import scheduler.policy

ROOT = Path(__file__).resolve().parents[3]
INNER = "POLICY_TESTS_WITHOUT_DJANGO"

# Stands in front of all finders: whoever imports one of these fails as on a machine that lacks it.
WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("django", "channels", "redis", "httpx", "orjson", "rich", "pynvml"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


def test_every_module_of_the_policy_imports_without_site_packages() -> None:
    names = [f"scheduler.policy.{m.name}" for m in pkgutil.iter_modules(scheduler.policy.__path__)]
    assert len(names) > 15
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {', '.join(names)}"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, timeout=60)


@pytest.mark.skipif(INNER in os.environ, reason="this is the run without Django")
def test_these_tests_pass_where_django_is_not_installed() -> None:
    options = ["-q", "-c", "/dev/null", "--rootdir", ".", "-p", "no:django", "-p", "no:cacheprovider"]
    options += ["-p", "no:xdist", "--ignore", "tests/scheduler/policy/test_machine.py"]
    arguments = [*options, "tests/scheduler/policy"]
    program = WITHOUT + f"import pytest; raise SystemExit(pytest.main({arguments!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, INNER: "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout

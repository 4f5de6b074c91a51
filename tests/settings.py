"""Settings of the test run: a data directory of its own, quick hashes, nothing from the shell."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_data = tempfile.mkdtemp(prefix="bridge-test-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)
for _name in [n for n in os.environ if n.startswith("BRIDGE_")]:
    del os.environ[_name]
for _name in ("REDIS_URL", "DATABASE_URL", "OLLAMA_URL", "OLLAMA_HOST", "SECRET_KEY"):
    os.environ.pop(_name, None)
os.environ["BRIDGE_DATA_DIR"] = _data

from bridge.settings import *  # noqa: E402, F403
from bridge.settings import DATABASES  # noqa: E402

# A file, as in production: threads of an in-memory database lock each other out instead of waiting.
DATABASES["default"]["TEST"] = {"NAME": os.path.join(_data, "test.sqlite3")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
AXES_ENABLED = False

"""A bridge behind nginx, for a whole file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from scheduler.simulator.process import NodeProcess
from tests.conftest import QUICK
from tests.deploy.proxy import Nginx
from tests.serving import Bridge, copied


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    nginx: Nginx
    bridge: Bridge
    key: str
    here: str  # a key for 127.0.0.5 only
    elsewhere: str  # a key for a network that nobody here is in


@pytest.fixture(scope="module")
def site(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """nginx with deploy/nginx/nginx.conf, one bridge that trusts it, one slow node."""
    directory = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        node = stack.enter_context(NodeProcess("llama3.2=2", vram_gib=24, slots=8, **QUICK | {"tps": 30}))
        bridge = Bridge(
            copied(empty_data, directory / "data"),
            nodes=[node.url],
            BRIDGE_DEFAULT_SLOTS="8",
            BRIDGE_TRUSTED_PROXIES="127.0.0.1",
        )
        stack.callback(bridge.close)
        bridge.manage("synccatalog")
        key = bridge.key()
        here = bridge.key("here", "--cidrs", "127.0.0.5/32")
        elsewhere = bridge.key("elsewhere", "--cidrs", "203.0.113.0/24")
        bridge.start()
        nginx = Nginx(directory / "nginx", [f"127.0.0.1:{bridge.port}"])
        stack.callback(nginx.close)
        yield Site(nginx=nginx.start(), bridge=bridge, key=key, here=here, elsewhere=elsewhere)

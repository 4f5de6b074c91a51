"""A bridge that looks like one in use: two nodes, four apps at work, and a day of history behind them."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from scheduler.simulator.process import NodeProcess
from tests.serving import PLAIN, Bridge, migrated

MODELS = {
    "gpu1": "llama3.2=2+tools,qwen3:8b=5.2+tools+thinking,gemma3:12b=8.1+vision,"
    "nomic-embed-text=0.27+embedding",
    "gpu2": "llama3.2=2+tools,qwen3:8b=5.2+tools+thinking,mistral-small=14,llava=4.7+vision",
}
SPEED = {"load_gbps": 1.2, "load_fixed": 1.0, "vram_recovery": 0.3, "tps": 45, "prefill_tps": 900, "slots": 4}
APPS = {  # name: team, and the models that it asks for
    "notebook": ("research", ["qwen3:8b", "gemma3:12b"]),
    "support-bot": ("support", ["llama3.2"]),
    "reviewer": ("engineering", ["qwen3:8b", "mistral-small"]),
    "search-index": ("engineering", ["llama3.2", "llava"]),
}
HISTORY = (Path(__file__).parent / "history.py").read_text()


@dataclass(slots=True)
class Demo:
    """`work()` sends requests until `rest()`; both may come again."""

    bridge: Bridge
    nodes: dict[str, NodeProcess]
    keys: dict[str, str]
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def work(self, each: int = 3) -> None:
        self._stop.clear()
        self._threads = [
            threading.Thread(target=self._ask, args=(app, number), daemon=True)
            for app in APPS
            for number in range(each)
        ]
        for thread in self._threads:
            thread.start()

    def rest(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self, app: str, number: int) -> None:
        dice = random.Random(f"{app}{number}")
        headers = {"Authorization": f"Bearer {self.keys[app]}", "User-Agent": "OpenAI/Python 2.8"}
        with httpx.Client(base_url=self.bridge.url, headers=headers, timeout=120, **PLAIN) as client:
            while not self._stop.is_set():
                body = {
                    "model": dice.choice(APPS[app][1]),
                    "messages": [{"role": "user", "content": "word " * dice.randint(20, 400)}],
                    "max_tokens": dice.randint(60, 300),
                    "stream": True,
                }
                with (
                    contextlib.suppress(httpx.HTTPError),
                    client.stream("POST", "/v1/chat/completions", json=body) as reply,
                ):
                    for _ in reply.iter_raw():
                        if self._stop.is_set():
                            break
                self._stop.wait(dice.uniform(0.2, 2))


@contextlib.contextmanager
def demo(directory: Path) -> Iterator[Demo]:
    """The superuser is `olga`, her password `olga`."""
    with contextlib.ExitStack() as stack:
        nodes = {
            name: stack.enter_context(NodeProcess(models, vram_gib=24 if name == "gpu1" else 16, **SPEED))
            for name, models in MODELS.items()
        }
        bridge = Bridge(
            migrated(directory),
            nodes=[],
            DJANGO_SUPERUSER_PASSWORD="olga",
            BRIDGE_PUBLIC_URL="https://llm.example.com",
        )
        bridge.manage("createsuperuser", "--noinput", "--username=olga", "--email=olga@example.com")
        for name, node in nodes.items():
            size = "24GiB" if name == "gpu1" else "16GiB"
            bridge.manage("nodes", "add", node.url, "--name", name, "--vram", size, "--slots", "4")
        bridge.manage("synccatalog")
        keys = {
            app: json.loads(bridge.manage("createkey", app, "--team", team, "--json"))["key"]
            for app, (team, _) in APPS.items()
        }
        bridge.manage("shell", "-c", HISTORY)
        stack.callback(bridge.close)
        yield Demo(bridge.start(), nodes, keys)

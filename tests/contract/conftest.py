"""The node under contract: the fake one in both generations, and a real Ollama where one is given.

`OLLAMA_TEST_URL=http://127.0.0.1:11434 OLLAMA_TEST_MODEL=NAME pytest tests/contract` adds the real one;
its model is copied, loaded and unloaded, so it must not be a node in use.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from scheduler.simulator.process import NodeProcess

REAL_URL, REAL_MODEL = os.environ.get("OLLAMA_TEST_URL", ""), os.environ.get("OLLAMA_TEST_MODEL", "")
NODES = ["0.32.15", "0.24.0", *(["real"] if REAL_URL and REAL_MODEL else [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUnderContract:
    """A node and a plain completion model on it, with neither tools nor thinking."""

    client: httpx.Client
    model: str

    def post(self, path: str, body: Any = None, **kwargs: Any) -> httpx.Response:
        return self.client.post(path, json=body, **kwargs)

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.client.get(path, **kwargs)

    def chat(self, text: str = "Say hello", **fields: Any) -> httpx.Response:
        options = {"num_predict": 4, **fields.pop("options", {})}
        messages = [{"role": "user", "content": text}]
        return self.post(
            "/api/chat", {"model": self.model, "messages": messages, "options": options, **fields}
        )

    def generate(self, text: str = "Say hello", **fields: Any) -> httpx.Response:
        options = {"num_predict": 4, **fields.pop("options", {})}
        return self.post("/api/generate", {"model": self.model, "prompt": text, "options": options, **fields})

    def load(self, **fields: Any) -> httpx.Response:
        return self.post("/api/generate", {"model": self.model, **fields})

    def unload(self) -> httpx.Response:
        """Unload and wait until /api/ps no longer lists the model."""
        answer = self.post("/api/generate", {"model": self.model, "keep_alive": 0})
        deadline = time.monotonic() + 15
        while self.resident() is not None:
            assert time.monotonic() < deadline, "the model is still listed"
            time.sleep(0.05)
        return answer

    def resident(self) -> dict[str, Any] | None:
        """The model's entry in /api/ps."""
        listed = self.get("/api/ps").json()["models"]
        return next((entry for entry in listed if entry["name"] == self.full_name), None)

    @property
    def full_name(self) -> str:
        return self.model if ":" in self.model else f"{self.model}:latest"


@pytest.fixture(scope="session", params=NODES)
def node(request: pytest.FixtureRequest) -> Iterator[NodeUnderContract]:
    if request.param == "real":
        with httpx.Client(base_url=REAL_URL, timeout=120, trust_env=False) as client:
            yield NodeUnderContract(client=client, model=REAL_MODEL)
        return
    flags = {"load_fixed": 0.02, "vram_recovery": 0.01, "tps": 0, "prefill_tps": 0, "load_gbps": 100}
    with (
        NodeProcess("plain=1+completion@4096", ollama_version=request.param, **flags) as process,
        httpx.Client(base_url=process.url, timeout=30, trust_env=False) as client,
    ):
        yield NodeUnderContract(client=client, model="plain")

"""What end-to-end tests share: a served bridge before a fake node, and the two dialects' request bodies."""

from __future__ import annotations

import json
from typing import Any

from scheduler.simulator.process import NodeProcess
from tests.serving import Bridge

MODELS = "llama3.2=2+tools,qwen3=5+tools+thinking,llava=4+vision,nomic-embed-text=0.27+embedding"
HELLO = [{"role": "user", "content": "one two three four"}]

# Each route with a small body that it answers, by dialect.
BODIES: dict[str, dict[str, Any]] = {
    "/api/chat": {"messages": HELLO, "options": {"num_predict": 8}},
    "/api/generate": {"prompt": "one two three", "options": {"num_predict": 8}},
    "/v1/chat/completions": {"messages": HELLO, "max_tokens": 8},
    "/v1/completions": {"prompt": "one two three", "max_tokens": 8},
    "/v1/responses": {"input": "one two three", "max_output_tokens": 8},
    "/v1/messages": {"messages": HELLO, "max_tokens": 8},
}


class Served:
    """A node, the bridge before it, and a key."""

    def __init__(self, node: NodeProcess, bridge: Bridge, key: str) -> None:
        self.node = node
        self.bridge = bridge
        self.key = key

    def body(self, route: str, *, stream: bool, model: str = "llama3.2", **more: Any) -> dict[str, Any]:
        return {"model": model, "stream": stream, **BODIES[route], **more}

    def manage_key(self, name: str, *flags: str) -> str:
        """A fresh key that the server need not know yet."""
        text: str = json.loads(self.bridge.manage("createkey", name, "--json", *flags))["key"]
        return text

"""A warm prefix as the call that replays it: rendered by the node exactly as real traffic is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scheduler.policy.state import Profile

ANYTHING = "."  # the shortest message of a user; what comes after the prefix does not matter


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """What prompts of a model begin with."""

    id: int
    model: str  # the name under which it is asked of nodes
    route: Literal["chat", "generate"]
    system: str
    tools: Sequence[Mapping[str, Any]]
    think: bool | str | None  # None: not sent

    def body(self, profile: Profile, keep_alive: int | str) -> dict[str, Any]:
        """What the relay would send for a request that begins so, with one token to generate."""
        rest: dict[str, Any] = {
            "model": self.model,
            "stream": False,
            "keep_alive": keep_alive,
            "options": {**profile.runner_options(), "num_predict": 1},
        }
        if self.think is not None:
            rest["think"] = self.think
        if profile.shift is not None:
            rest["shift"] = profile.shift
        if self.route == "generate":
            return rest | {"system": self.system, "prompt": ANYTHING}
        messages = [{"role": "user", "content": ANYTHING}]
        if self.system:
            messages.insert(0, {"role": "system", "content": self.system})
        if self.tools:
            rest["tools"] = list(self.tools)
        return rest | {"messages": messages}

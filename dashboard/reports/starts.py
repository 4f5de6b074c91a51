"""What requests met when they came, by model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """Requests that met the same: a warm, cold or prefetched resident."""

    requests: int = 0
    waited_ms: int = 0
    longest_tokens: int = 0  # prompt and output of one


Starts = Mapping[str, Mapping[str, Met]]  # by model, by what they met

"""What an Ollama of a given version does: each field is a difference that the source shows."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The behaviour of one version; build it with `of`."""

    version: str
    llama_server: bool  # 0.30: one llama-server child for each model, instead of a runner of its own
    loaded_bypass_queue: bool  # 0.11.5: requests for a loaded model do not enter the pending queue
    tiered_context: bool  # 0.15.5: the default context follows the VRAM
    ps_context_length: bool  # 0.10.0: /api/ps tells context_length
    tags_capabilities: bool  # 0.30 (first seen between 0.24 and 0.30): /api/tags tells capabilities
    cached_count: bool  # 0.33.1: prompt_eval_cached_count in the metrics
    counts_cached_prompt: bool  # all but 0.30.0: prompt_eval_count includes cached tokens
    logprobs: bool  # 0.12.11
    shift_field: bool  # 0.12.6: `shift` and `truncate` are request fields

    @classmethod
    def of(cls, version: str) -> Generation:
        """Raise ValueError when `version` is not like 0.30.1 (a suffix such as -rc2 is allowed)."""
        found = re.fullmatch(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:-.*)?", version)
        if found is None:
            raise ValueError(f"{version!r} is not a version of Ollama; give one like 0.32.15")
        number = tuple(int(part or 0) for part in found.groups())
        return cls(
            version=version.removeprefix("v"),
            llama_server=number >= (0, 30, 0),
            loaded_bypass_queue=number >= (0, 11, 5),
            tiered_context=number >= (0, 15, 5),
            ps_context_length=number >= (0, 10, 0),
            tags_capabilities=number >= (0, 30, 0),
            cached_count=number >= (0, 33, 1),
            counts_cached_prompt=number != (0, 30, 0),
            logprobs=number >= (0, 12, 11),
            shift_field=number >= (0, 12, 6),
        )

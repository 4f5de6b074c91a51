"""How one simulated node is built and set up: its hardware and its environment variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from scheduler.simulator.generation import Generation

GIB = 2**30
MIB = 2**20
KVType = Literal["f16", "q8_0", "q4_0"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Hardware, environment and speed. Bytes, seconds, tokens per second; 0 tokens/s means no delay."""

    generation: Generation = field(default_factory=lambda: Generation.of("0.32.15"))
    vram: int = 24 * GIB  # of all GPUs together
    gpus: int = 1
    ram: int = 64 * GIB
    slots: int = 1  # OLLAMA_NUM_PARALLEL
    max_loaded: int = 0  # OLLAMA_MAX_LOADED_MODELS; 0 is 3 for each GPU
    max_queue: int = 512  # OLLAMA_MAX_QUEUE
    context_length: int = 0  # OLLAMA_CONTEXT_LENGTH; 0 follows the VRAM
    keep_alive_s: float = 300.0  # OLLAMA_KEEP_ALIVE
    kv_type: KVType = "f16"  # OLLAMA_KV_CACHE_TYPE
    cache_ram: int = 8 * GIB  # llama.cpp's --cache-ram: host memory for the prompts of reused slots
    load_fixed_s: float = 0.25
    load_bytes_per_s: float = 4e9
    vram_recovery_s: float = 0.25  # from the end of a runner until the driver shows its VRAM as free
    tokens_per_s: float = 50.0
    prefill_tokens_per_s: float = 2000.0
    cpu_slowdown: float = 10.0  # how much slower a layer in host memory is

    @property
    def most_loaded(self) -> int:
        return self.max_loaded or 3 * max(1, self.gpus)

    @property
    def default_context(self) -> int:
        """Tokens, when nothing else sets num_ctx (reference: Serve in server/routes.go)."""
        if self.context_length:
            return self.context_length
        if not self.generation.tiered_context:
            return 4096
        if self.vram >= 47 * GIB:
            return 262144
        return 32768 if self.vram >= 23 * GIB else 4096

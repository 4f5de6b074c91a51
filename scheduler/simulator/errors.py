"""Ollama's error texts, letter by letter (reference, section 1.7)."""

from __future__ import annotations

from scheduler.simulator.generation import Generation

BUSY = "server busy, please try again.  maximum pending requests exceeded"
PROMPT_TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)
INPUT_TOO_LONG = "the input length exceeds the context length"
RUNNER_STOPPED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
    "check ollama server logs for details"
)
RUNTIME_OOM = "an error was encountered while running the model: CUDA error: out of memory"


def load_oom(generation: Generation) -> str:
    process = "llama-server process" if generation.llama_server else "llama runner process"
    return f"{process} has terminated: cudaMalloc failed: out of memory"


def too_large(generation: Generation, need: int, available: int) -> str:
    """A model whose spilled part does not fit the host's memory either."""
    if generation.llama_server:
        return "llama-server process has terminated: error loading model: unable to allocate CPU buffer"
    return (
        f"model requires more system memory ({need / 2**30:.1f} GiB) than is available "
        f"({available / 2**30:.1f} GiB)"
    )


def exceeds_context(tokens: int, context: int) -> str:
    """llama-server's own words, passed through, when the prompt may not be truncated."""
    return (
        f"request ({tokens} tokens) exceeds the available context size ({context} tokens), try increasing it"
    )


def not_found(name: str) -> str:
    return f"model '{name}' not found"


def not_found_try_pulling(name: str) -> str:
    return f'model "{name}" not found, try pulling it first'

"""What the data plane counts about requests: once for each, when it ends, and never for a chunk of a stream.

Names and meanings follow vLLM's where it has one, so that its dashboards translate. `model` is a catalogue
name or "other": keys and what clients typed are no labels, since each new one would be a new series.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from bridge.env import VALUES as ENV

if TYPE_CHECKING:
    from bridge.dialects.counts import Counts
    from bridge.exchange import Exchange
    from bridge.plane import DataPlane
    from scheduler.board.interface import Seat

PREFIX = "ollama_bridge"
MOST_MODELS = 500  # with series of their own in this process; those past it are counted as "other"
MOST_REASONS = 100
DONE_REASONS = frozenset({"stop", "length", "load", "unload"})
NS = 1e-9

# vLLM's boundaries, with a tail for answers that waited for a load.
FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
COLD_S = (20, 40, 80, 160)
PER_TOKEN_S = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.4, 1)
DURATION_S = tuple(
    round(0.01 * 2**n, 2) for n in range(16)
)  # to 327.68; OpenTelemetry's for GenAI and two more
RATIOS = (0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0)

RUNNING = Gauge(f"{PREFIX}_requests_running", "Requests that hold a seat now.", multiprocess_mode="livesum")
WAITING = Gauge(
    f"{PREFIX}_requests_waiting", "Requests that wait for a seat now.", multiprocess_mode="livesum"
)
WAITING_LIMIT = Gauge(
    f"{PREFIX}_requests_waiting_limit",
    "Requests that may wait in all; past it new ones are refused.",
    multiprocess_mode="livemax",
)
REQUESTS = Counter(
    f"{PREFIX}_requests_total", "API requests that ended, by how they ended.", ["endpoint", "outcome"]
)
REFUSALS = Counter(f"{PREFIX}_requests_refused_total", "Requests turned away, by reason.", ["reason"])
FAILURES = Counter(f"{PREFIX}_requests_failed_total", "Requests that failed, by reason.", ["reason"])
SUCCESS = Counter(
    f"{PREFIX}_request_success_total",
    "Answered generations and embeddings, by why the answer ended.",
    ["model", "finished_reason"],
)
FIRST_TOKEN = Histogram(
    f"{PREFIX}_time_to_first_token_seconds",
    "From the arrival of a streaming request to its first token, by what the request met.",
    ["model", "load"],
    buckets=FIRST_TOKEN_S + COLD_S,
)
PER_TOKEN = Histogram(
    f"{PREFIX}_request_time_per_output_token_seconds",
    "Decoding time of a request divided by its output tokens, as the node measured it.",
    ["model"],
    buckets=PER_TOKEN_S,
)
DURATION = Histogram(
    f"{PREFIX}_e2e_request_latency_seconds",
    "From the arrival of an answered request to the end of its stream.",
    ["model"],
    buckets=DURATION_S,
)
QUEUED = Histogram(
    f"{PREFIX}_request_queue_time_seconds",
    "From the admission of a request to its seat, loading included.",
    ["model"],
    buckets=DURATION_S,
)
PROMPT_TOKENS = Counter(f"{PREFIX}_prompt_tokens_total", "Prompt tokens, cached ones included.", ["model"])
CACHED_TOKENS = Counter(
    f"{PREFIX}_prompt_tokens_cached_total", "Prompt tokens that a node had in its KV cache.", ["model"]
)
OUTPUT_TOKENS = Counter(f"{PREFIX}_generation_tokens_total", "Tokens that nodes generated.", ["model"])
ESTIMATE = Histogram(
    f"{PREFIX}_prompt_estimate_ratio",
    "Prompt tokens as estimated, divided by what the node counted: below 1 the context may be too small.",
    ["model"],
    buckets=RATIOS,
)
RETRIES = Counter(f"{PREFIX}_node_retries_total", "Requests sent to another node before their first byte.")
REPEATS = Counter(
    f"{PREFIX}_transport_repeats_total", "Requests sent again because a node had closed an idle connection."
)
OUTBOX = Gauge(
    f"{PREFIX}_outbox_pending_bytes",
    "Usage records on disk that are not in the database yet.",
    multiprocess_mode="livemax",
)
CONNECTIONS = Gauge(
    f"{PREFIX}_transport_connections",
    "Open connections to nodes, in use and idle.",
    ["state"],
    multiprocess_mode="livesum",
)


class _OfModel:
    """The series of one model. They are looked up once: `labels` costs more than the counting."""

    __slots__ = (
        "cached",
        "duration",
        "estimate",
        "first_token",
        "output",
        "per_token",
        "prompt",
        "queued",
        "success",
    )

    def __init__(self, model: str) -> None:
        self.queued = QUEUED.labels(model)
        self.duration = DURATION.labels(model)
        self.per_token = PER_TOKEN.labels(model)
        self.estimate = ESTIMATE.labels(model)
        self.prompt = PROMPT_TOKENS.labels(model)
        self.cached = CACHED_TOKENS.labels(model)
        self.output = OUTPUT_TOKENS.labels(model)
        self.first_token = {load: FIRST_TOKEN.labels(model, load) for load in ("warm", "cold", "prefetched")}
        self.success = {reason: SUCCESS.labels(model, reason) for reason in (*DONE_REASONS, "other")}


_models: dict[str, _OfModel] = {}
_reasons: dict[tuple[Counter, str], Counter] = {}
_ended: dict[tuple[str, str], Counter] = {}


def ended(exchange: Exchange, counts: Counts, outcome: str, reason: str) -> None:
    """Count a request that has just ended. `bridge.exchange` calls it once for each."""
    key = (exchange.endpoint, outcome)
    child = _ended.get(key)
    if child is None:  # endpoints are those of the table of routes
        child = _ended[key] = REQUESTS.labels(exchange.endpoint or "other", outcome)
    child.inc()
    if outcome == "refused":
        _of_reason(REFUSALS, reason).inc()
    elif outcome == "failed":
        _of_reason(FAILURES, reason).inc()
    if exchange.seat is not None:
        RUNNING.dec()
        series = _of_model(exchange.model)
        _served(series, exchange.seat, exchange, counts)
        if outcome == "answered":
            _answered(series, exchange, counts, reason)


def _served(series: _OfModel, seat: Seat, exchange: Exchange, counts: Counts) -> None:
    """What a request that had a seat says about its model."""
    series.queued.observe(exchange.queued_s)
    if exchange.stream and exchange.first_token_s is not None:
        series.first_token[seat.load].observe(exchange.first_token_s)
    series.prompt.inc(counts.prompt_tokens)
    series.output.inc(counts.output_tokens)
    if counts.cached_tokens:
        series.cached.inc(counts.cached_tokens)


def _answered(series: _OfModel, exchange: Exchange, counts: Counts, reason: str) -> None:
    series.duration.observe(time.perf_counter() - exchange.started)
    series.success[reason if reason in DONE_REASONS else "other"].inc()
    if counts.output_tokens and counts.eval_ns:
        series.per_token.observe(counts.eval_ns * NS / counts.output_tokens)
    if exchange.prompt_estimate and counts.prompt_tokens:
        series.estimate.observe(exchange.prompt_estimate / counts.prompt_tokens)


def _of_model(model: str) -> _OfModel:
    series = _models.get(model)
    if series is None:
        name = model if len(_models) < MOST_MODELS else "other"
        series = _models[name] = _models.get(name) or _OfModel(name)
    return series


def _of_reason(counter: Counter, reason: str) -> Counter:
    """Reasons are words of our own code; a bound stands in for the proof of that."""
    child = _reasons.get((counter, reason))
    if child is None:
        name = reason if reason and len(_reasons) < MOST_REASONS else "other"
        child = counter.labels(name)
        if len(_reasons) < MOST_REASONS:
            _reasons[counter, reason] = child
    return child


class Sampler:
    """Keeps the figures current that no request counts: connections, repeats, the outbox."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._repeats = 0
        self._limit: int = ENV["BRIDGE_QUEUE_LIMIT"]

    async def sample(self) -> None:
        transport = self._plane.transport
        connections = transport.connections()
        CONNECTIONS.labels("in_use").set(connections.in_use)
        CONNECTIONS.labels("idle").set(connections.idle)
        REPEATS.inc(transport.repeated - self._repeats)
        self._repeats = transport.repeated
        WAITING_LIMIT.set(self._limit)
        OUTBOX.set(await asyncio.to_thread(self._plane.outbox.pending_bytes))

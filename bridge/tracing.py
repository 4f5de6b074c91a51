"""OpenTelemetry spans of requests: an extra (requirements/tracing.txt), off unless an endpoint is set.

Each request is a SERVER span; each call of a node for it is a CLIENT span below it, named and described by
the GenAI conventions. The caller's `traceparent` is followed, and the node gets that of its own call.
Attributes come from the usage record: no prompt, no answer and no key is in them, nor ever was.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.env import VALUES as ENV

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

SERVICE = "ollama-bridge"
# The convention's names of operations, by the last part of a route.
OPERATIONS = {"generate": "text_completion", "completions": "text_completion", "embed": "embeddings"}
OPERATIONS |= {"embeddings": "embeddings", "chat/completions": "chat"}


class Tracing:
    """One for the process; `provider` is the SDK's."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(SERVICE)

    def begin(self, method: str, traceparent: bytes) -> Trace:
        """The trace of a request that came now."""
        return Trace(self._tracer, method, traceparent.decode("latin-1"))

    def stop(self) -> None:
        """Send what is still here. Blocks while it does."""
        self._provider.shutdown()


class Trace:
    """The spans of one request. Whoever ends it second changes nothing."""

    def __init__(self, tracer: Tracer, method: str, traceparent: str) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        self._method = method
        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        self._span = tracer.start_span("request", context=parent, kind=SpanKind.SERVER)
        self._call: Span | None = None

    def call(self, node: str) -> tuple[bytes, bytes]:
        """A call of a node begins: the header that tells the node about it. The call before it has failed."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        if self._call is not None:
            self._fail(self._call, "node_failed")
            self._call.end()
        context = set_span_in_context(self._span)
        self._call = self._tracer.start_span("call", context=context, kind=SpanKind.CLIENT)
        self._call.set_attribute("server.address", node)
        seen = self._call.get_span_context()
        parent = f"00-{seen.trace_id:032x}-{seen.span_id:016x}-{int(seen.trace_flags):02x}"
        return b"traceparent", parent.encode()

    def end(self, record: Mapping[str, Any]) -> None:
        """The request ended, as its usage record says."""
        failed = record["reason"] if record["outcome"] in ("failed", "refused") else ""
        if self._call is not None:
            self._end_call(self._call, record, failed)
        self._span.update_name(f"{self._method} {record['route']}")
        self._span.set_attribute("http.request.method", self._method)
        self._span.set_attributes(of_request(record))
        if failed:
            self._fail(self._span, failed)
        self._span.end()

    def _end_call(self, call: Span, record: Mapping[str, Any], failed: str) -> None:
        attributes = of_call(record)
        call.update_name(f"{attributes['gen_ai.operation.name']} {record['model']}")
        call.set_attributes(attributes)
        if record["ttft_ms"] is not None:
            at_ns = int(record["at"] * 1e9) + int(record["ttft_ms"] * 1e6)
            call.add_event("first token", timestamp=min(at_ns, time.time_ns()))
        if failed:
            self._fail(call, failed)
        call.end()

    @staticmethod
    def _fail(span: Span, reason: str) -> None:
        from opentelemetry.trace import StatusCode

        span.set_attribute("error.type", reason)
        span.set_status(StatusCode.ERROR)


def of_request(record: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of the SERVER span: HTTP's conventional ones, and what the bridge knows besides."""
    known = {
        "http.route": record["route"],
        "http.response.status_code": record["status"],
        "client.address": record["address"],
    }
    ours = ("request_id", "key", "team", "model", "node", "load", "queue_ms", "outcome")
    return known | {f"ollama_bridge.{name}": record[name] for name in ours if record[name] != ""}


def of_call(record: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of the CLIENT span, by OpenTelemetry's GenAI conventions."""
    route = record["route"].partition("/v1/")[2] or record["route"].rpartition("/")[2]
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": OPERATIONS.get(route, "chat"),
        "gen_ai.provider.name": "ollama",
        "gen_ai.request.model": record["model"],
        "gen_ai.response.model": record["model"],
        "gen_ai.usage.input_tokens": record["prompt_tokens"],
        "gen_ai.usage.output_tokens": record["output_tokens"],
    }
    if record["outcome"] == "answered" and record["reason"]:
        attributes["gen_ai.response.finish_reasons"] = [record["reason"]]
    return attributes


def make() -> Tracing | None:
    """As the settings say; None where no endpoint is set, and then nothing of OpenTelemetry is imported."""
    endpoint: str = ENV["BRIDGE_TRACE_ENDPOINT"]
    if not endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        resource=Resource.create({"service.name": SERVICE}),
        sampler=ParentBased(TraceIdRatioBased(ENV["BRIDGE_TRACE_SHARE"])),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider)

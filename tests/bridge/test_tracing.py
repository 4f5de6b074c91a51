"""OpenTelemetry spans: what they say, whom they follow, what they never hold, and that off is off."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from bridge.tracing import Tracing
from tests.conftest import FakeNode, Serve

CALLER = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736


@pytest.fixture
def sent() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(sent: InMemorySpanExporter) -> Iterator[Tracing]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(sent))
    made = Tracing(provider)
    yield made
    made.stop()


def record(**fields: Any) -> dict[str, Any]:
    known = {
        "request_id": "req_1",
        "at": 1_800_000_000.0,
        "key": "ab12cd34",
        "team": "",
        "model": "qwen3:8b",
        "node": "gpu1",
        "route": "/v1/chat/completions",
        "prompt_tokens": 40,
        "output_tokens": 12,
        "queue_ms": 5,
        "ttft_ms": 80,
        "load": "warm",
        "outcome": "answered",
        "reason": "stop",
        "status": 200,
        "address": "10.0.0.7",
    }
    return known | fields


def spans(sent: InMemorySpanExporter) -> dict[SpanKind, ReadableSpan]:
    return {span.kind: span for span in sent.get_finished_spans()}


def test_a_request_is_told_by_the_conventions_names(tracing: Tracing, sent: InMemorySpanExporter) -> None:
    trace = tracing.begin("POST", b"")
    trace.call("gpu1")
    trace.end(record())
    server, call = spans(sent)[SpanKind.SERVER], spans(sent)[SpanKind.CLIENT]
    assert (server.name, call.name) == ("POST /v1/chat/completions", "chat qwen3:8b")
    assert dict(call.attributes or {}) == {
        "server.address": "gpu1",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "ollama",
        "gen_ai.request.model": "qwen3:8b",
        "gen_ai.response.model": "qwen3:8b",
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 12,
        "gen_ai.response.finish_reasons": ("stop",),
    }
    assert [event.name for event in call.events] == ["first token"]
    attributes = dict(server.attributes or {})
    assert attributes["http.response.status_code"] == 200
    assert attributes["ollama_bridge.request_id"] == "req_1"
    assert "ollama_bridge.team" not in attributes


def test_the_callers_trace_is_followed_and_handed_to_the_node(
    tracing: Tracing, sent: InMemorySpanExporter
) -> None:
    trace = tracing.begin("POST", CALLER)
    name, value = trace.call("gpu1")
    trace.end(record())
    server, call = spans(sent)[SpanKind.SERVER], spans(sent)[SpanKind.CLIENT]
    assert server.context.trace_id == call.context.trace_id == TRACE
    assert server.parent is not None
    assert server.parent.span_id == 0x00F067AA0BA902B7
    assert (name, value) == (b"traceparent", f"00-{TRACE:032x}-{call.context.span_id:016x}-01".encode())


def test_a_caller_that_does_not_sample_is_not_sampled_and_the_node_is_told_so(
    tracing: Tracing, sent: InMemorySpanExporter
) -> None:
    trace = tracing.begin("POST", CALLER[:-2] + b"00")
    assert trace.call("gpu1")[1].endswith(b"-00")
    trace.end(record())
    assert sent.get_finished_spans() == ()


def test_a_call_that_failed_and_was_moved_is_a_span_of_its_own(
    tracing: Tracing, sent: InMemorySpanExporter
) -> None:
    trace = tracing.begin("POST", b"")
    trace.call("gpu1")
    trace.call("gpu2")
    trace.end(record(node="gpu2"))
    first, second, _ = sent.get_finished_spans()
    assert ((first.attributes or {})["server.address"], first.status.status_code) == (
        "gpu1",
        StatusCode.ERROR,
    )
    assert (second.status.status_code, second.name) == (StatusCode.UNSET, "chat qwen3:8b")


def test_a_refusal_is_an_error_without_a_call(tracing: Tracing, sent: InMemorySpanExporter) -> None:
    trace = tracing.begin("POST", b"")
    trace.end(record(outcome="refused", reason="rate", node="", load="", ttft_ms=None, status=429))
    (span,) = sent.get_finished_spans()
    assert span.status.status_code == StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "rate"


@pytest.mark.parametrize(
    "junk", [b"", b"00-xyz", b"\xff" * 300, b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"]
)
def test_what_is_no_traceparent_begins_a_trace(
    tracing: Tracing, sent: InMemorySpanExporter, junk: bytes
) -> None:
    tracing.begin("POST", junk).end(record())
    assert sent.get_finished_spans()[0].parent is None


@pytest.mark.parametrize(
    ("route", "operation"),
    [
        ("/api/chat", "chat"),
        ("/api/generate", "text_completion"),
        ("/v1/completions", "text_completion"),
        ("/v1/embeddings", "embeddings"),
        ("/api/embed", "embeddings"),
        ("/v1/messages", "chat"),
        ("/v1/responses", "chat"),
    ],
)
def test_each_route_has_its_operation(
    tracing: Tracing, sent: InMemorySpanExporter, route: str, operation: str
) -> None:
    trace = tracing.begin("POST", b"")
    trace.call("gpu1")
    trace.end(record(route=route))
    assert (spans(sent)[SpanKind.CLIENT].attributes or {})["gen_ai.operation.name"] == operation


class Collector:
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        bodies = self.bodies = list[bytes]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def names(self) -> list[str]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span.name
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def test_a_served_request_reaches_the_collector_without_its_words(
    collector: Collector, fake_node: FakeNode, serve: Serve
) -> None:
    bridge = serve([fake_node().url], BRIDGE_TRACE_ENDPOINT=collector.url)
    key = bridge.key()
    words = {"role": "user", "content": "xylophone"}
    with bridge.client(key) as client:
        body = {"model": "llama3.2", "messages": [words], "stream": False}
        bridge.until(lambda: client.post("/api/chat", json=body).status_code == 200)
    bridge.stop()  # sends what is left
    assert {"POST /api/chat", "chat llama3.2:latest"} <= set(collector.names())
    said = b"".join(collector.bodies)
    assert b"xylophone" not in said
    assert key.encode() not in said


ABSENT = """
import sys
sys.modules["opentelemetry"] = None
import bridge.asgi
from bridge import tracing
print(tracing.make())
"""


def test_the_bridge_runs_where_the_extra_is_not_installed() -> None:
    done = subprocess.run([sys.executable, "-c", ABSENT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr

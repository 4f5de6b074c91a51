"""The bench's own client and upstream, against each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.bench.load import Load
from tests.bench.targets import Target
from tests.bench.upstream import serve

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[Target]:
    server = await serve(0)
    port = server.sockets[0].getsockname()[1]
    yield Target(name="direct", port=port, routes=("native", "openai"))
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("route", ["native", "openai"])
async def test_streams_are_counted_and_timed(route: str, upstream: Target) -> None:
    load = Load(upstream.port, upstream.request(route, stream=True, chunks=5, gap_ms=1), 5)
    await load.open(4, once=True)
    await asyncio.gather(*[connection.lost for connection in load.connections])
    tally = load.tally
    assert (tally.replies, tally.chunks, tally.errors) == (4, 20, 0)
    assert (len(tally.first_ms), len(tally.whole_ms), len(tally.forward_ms)) == (4, 4, 20)
    assert all(0 <= late_ms < 1000 for late_ms in tally.forward_ms)
    assert all(first < whole for first, whole in zip(tally.first_ms, tally.whole_ms, strict=True))


@pytest.mark.parametrize("route", ["native", "openai"])
async def test_small_replies_are_counted(route: str, upstream: Target) -> None:
    load = Load(upstream.port, upstream.request(route, stream=False), 0)
    await load.open(4)
    readings: list[int] = []
    took_s = await load.run(0.01, 0.05, lambda: readings.append(load.tally.replies))
    await load.close()
    assert readings[0] == 0, "what came while warming up is not counted"
    assert readings[1] > 0
    assert took_s >= 0.05
    assert load.tally.replies > 4
    assert load.tally.errors == load.tally.chunks == 0
    assert len(load.tally.whole_ms) == load.tally.replies


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "0 chunks of 5"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "connection lost"),
        (b"nonsense\r\n\r\n", "malformed"),
    ],
)
async def test_a_wrong_reply_is_an_error_and_no_figure(answer: bytes, reason: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    target = Target(name="x", port=server.sockets[0].getsockname()[1], routes=("native",))
    load = Load(target.port, target.request("native", stream=True, chunks=5), 5)
    await load.open(1, once=True)
    await asyncio.gather(*[connection.lost for connection in load.connections])
    server.close()
    assert load.tally.replies == 0
    assert load.tally.errors == 1
    assert reason in load.tally.last_error


async def test_the_upstream_speaks_enough_of_ollama_to_be_a_node(upstream: Target) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{upstream.port}") as client:
        assert (await client.get("/api/version")).json()["version"]
        (tag,) = (await client.get("/api/tags")).json()["models"]
        shown = (await client.post("/api/show", json={"model": "bench"})).json()
        assert tag["name"] == "bench:latest"
        assert "completion" in shown["capabilities"]
        load = {"model": "bench", "options": {"num_ctx": 8192}}
        assert (await client.post("/api/generate", json=load)).json()["done_reason"] == "load"
        (resident,) = (await client.get("/api/ps")).json()["models"]
        assert resident["context_length"] == 8192
        assert resident["size_vram"] == resident["size"]
        assert (await client.get("/api/none")).status_code == 404
        chat = {"model": "bench", "messages": [{"role": "user", "content": "chunks=3 gap=0 wait=0"}]}
        lines = (await client.post("/api/chat", json=chat)).text.splitlines()
        assert [json.loads(line)["done"] for line in lines] == [False, False, False, True]


async def test_the_upstream_waits_for_a_slow_reader(upstream: Target) -> None:
    load = Load(upstream.port, upstream.request("native", stream=True, chunks=50_000), 50_000)
    await load.open(1, once=True)
    (connection,) = load.connections
    connection.transport.pause_reading()
    for _ in range(500):
        await asyncio.sleep(0)
    assert load.tally.chunks < 25_000
    connection.transport.resume_reading()
    await connection.lost
    assert load.tally.chunks == 50_000
    assert load.tally.replies == 1

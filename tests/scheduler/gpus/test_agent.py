"""The agent served by its real server, and read as the scheduler reads it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path

import httpx
import pytest
import uvicorn
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from scheduler.gpus import Gpu, GpuReader, GpuSources, GpusUnreadable
from scheduler.gpus.agent import Agent
from scheduler.models import Node
from scheduler.pagecache import Filler, ModelStore

GPU = Gpu(uuid="GPU-1", name="H100", total=80, free=60, used=20, util=5, power_w=300.5)
OTHER = Gpu(uuid="GPU-2", name="H100", total=80, free=70, used=10)
ROOT = Path(__file__).resolve().parents[3]


class Gpus:
    def __init__(self, *gpus: Gpu) -> None:
        self.gpus = list(gpus)
        self.broken = False

    def read(self) -> list[Gpu]:
        if self.broken:
            raise GpusUnreadable("the driver is gone")
        return self.gpus


@asynccontextmanager
async def served(gpus: Gpus, token: str = "secret", filler: Filler | None = None) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    app = Agent(GpuReader(gpus), token=token, filler=filler)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical", ws="none"))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@pytest.mark.asyncio
async def test_readings_need_the_token() -> None:
    async with served(Gpus(GPU)) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/gpus")).status_code == 401
        assert (await client.get("/gpus", headers={"Authorization": "Bearer wrong"})).status_code == 401
        reply = await client.get("/gpus", headers={"Authorization": "Bearer secret"})
        assert [Gpu.from_json(gpu) for gpu in reply.json()["gpus"]] == [GPU]
        statuses = [(await client.request(*call)).status_code for call in CALLS]
        assert statuses == [200, 404, 405]


CALLS = [("GET", "/livez"), ("GET", "/"), ("POST", "/gpus")]


@pytest.mark.asyncio
async def test_the_scheduler_reads_a_node_through_its_agent() -> None:
    gpus = Gpus(GPU, OTHER)
    async with served(gpus) as url:
        sources = GpuSources(GpuReader(Gpus()), token="secret")
        whole = Node(name="whole", url="http://gpu1:11434", agent_url=url)
        half = Node(name="half", url="http://gpu1:11435", agent_url=url, gpu_uuids=["GPU-2"])
        assert await sources.read_all([whole, half]) == {"whole": (GPU, OTHER), "half": (OTHER,)}
        await sources.aclose()


@pytest.mark.asyncio
async def test_a_node_of_this_machine_is_read_here_and_another_one_not_at_all() -> None:
    sources = GpuSources(GpuReader(Gpus(GPU)), token="")
    nodes = [
        Node(name="v4", url="http://127.0.0.1:11434"),
        Node(name="v6", url="http://[::1]:11434"),
        Node(name="host", url="http://localhost:11434"),
        Node(name="far", url="http://10.0.0.2:11434"),
    ]
    assert set(await sources.read_all(nodes)) == {"v4", "v6", "host"}


@pytest.mark.asyncio
async def test_an_agent_without_a_reading_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    gpus = Gpus(GPU)
    caplog.set_level(logging.WARNING, "scheduler.gpus")
    async with served(gpus) as url:
        sources = GpuSources(GpuReader(Gpus()), token="secret")
        node = Node(name="a", url="http://gpu1:11434", agent_url=url)
        gpus.broken = True
        assert [await sources.read_all([node]) for _ in range(2)] == [{}, {}]
        gpus.broken = False
        assert await sources.read_all([node]) == {"a": (GPU,)}
        gpus.broken = True
        assert await sources.read_all([node]) == {}
        await sources.aclose()
    assert len(caplog.records) == 2
    assert "the driver is gone" in caplog.text


@pytest.mark.asyncio
async def test_a_wrong_token_and_a_dead_agent_are_told_apart() -> None:
    async with served(Gpus(GPU)) as url:
        sources = GpuSources(GpuReader(Gpus()), token="wrong")
        node = Node(name="a", url="http://gpu1:11434", agent_url=url)
        with pytest.raises(GpusUnreadable, match="BRIDGE_AGENT_TOKEN"):
            await sources.read(node)
    with pytest.raises(GpusUnreadable, match="/gpus"):
        await sources.read(node)
    await sources.aclose()


@pytest.mark.asyncio
async def test_an_agent_takes_the_list_of_likely_models_and_tells_its_memory(tmp_path: Path) -> None:
    filler = Filler(ModelStore(tmp_path), budget_bytes=5_000, bytes_per_s=1.0)
    async with served(Gpus(), filler=filler) as url:
        sources = GpuSources(GpuReader(Gpus()), token="secret")
        assert await sources.tell_likely(url, ["qwen3:8b"]) == 5_000
        await sources.aclose()
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": "Bearer secret"}) as client:
            told = (await client.get("/likely")).json()
            assert (told["budget_bytes"], told["doing"]) == (5_000, "resting")
            bad = [b"[]", b"x", b'{"models": "a"}', b'{"models": [1]}']
            assert {(await client.put("/likely", content=each)).status_code for each in bad} == {400}
            assert (await client.put("/likely", content=b"x" * 100_000)).status_code == 413
            del client.headers["Authorization"]
            assert (await client.put("/likely", json={"models": []})).status_code == 401


@pytest.mark.asyncio
async def test_an_agent_without_memory_to_spare_says_so_and_one_that_is_away_is_told() -> None:
    sources = GpuSources(GpuReader(Gpus()), token="secret")
    async with served(Gpus()) as url:
        assert await sources.tell_likely(url, ["qwen3:8b"]) == 0
    with pytest.raises(GpusUnreadable, match="the agent at"):
        await sources.tell_likely(url, [])
    await sources.aclose()


def test_memory_for_models_needs_their_directory(settings: LazySettings, tmp_path: Path) -> None:
    settings.AGENT_RAM = 2**30
    with pytest.raises(CommandError, match="OLLAMA_MODELS"):
        call_command("agent", "--models-dir", str(tmp_path), stderr=StringIO())


@pytest.mark.parametrize(
    "fields",
    [
        None,
        {},
        {**GPU.as_json(), "total": "80"},
        {**GPU.as_json(), "total": -1},
        {**GPU.as_json(), "util": True},
        {**GPU.as_json(), "name": "x" * 1000},
    ],
)
def test_what_no_agent_would_say_is_refused(fields: object) -> None:
    with pytest.raises(ValueError, match="is"):
        Gpu.from_json(fields)


def test_the_agent_is_not_opened_to_others_without_a_token(settings: LazySettings) -> None:
    settings.AGENT_TOKEN = ""
    with pytest.raises(CommandError, match="BRIDGE_AGENT_TOKEN") as caught:
        call_command("agent", "--host", "0.0.0.0", stderr=StringIO())
    assert caught.value.returncode == 2


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ours = {"DJANGO_SETTINGS_MODULE": "bridge.settings", "BRIDGE_DATA_DIR": str(tmp_path)}
    agent = subprocess.Popen(
        [sys.executable, "manage.py", "agent", "--port", str(port)],
        cwd=ROOT,
        env=os.environ | ours | {"BRIDGE_AGENT_TOKEN": "secret"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        transport = httpx.HTTPTransport(retries=8)  # pauses of 0, 0.5, 1, 2, … s while it starts
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport) as client:
            assert client.get("/livez").json() == {"ok": True}
            assert client.get("/gpus").status_code == 401
    finally:
        agent.terminate()
        _, told = agent.communicate(timeout=20)
    assert f"http://127.0.0.1:{port}/gpus" in told
    assert "secret" not in told
    assert "Traceback" not in told

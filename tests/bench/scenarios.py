"""What is done to each target, and the figures that come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import quantiles

from tests.bench.load import Load, Tally
from tests.bench.processes import busy_s
from tests.bench.targets import PEERS, Target

Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things take; quick mode shortens them."""

    warm_s: float
    seconds: float
    open_streams: int


Scenario = Callable[[Target, str, Pace], Awaitable[Figures]]


class Failed(Exception):
    """The target answered wrongly, so that its figures would mean nothing."""


async def small(target: Target, route: str, pace: Pace) -> Figures:
    """Non-stream replies of 0.4 KB on 32 connections."""
    return await _saturate(target, Load(target.port, target.request(route, stream=False), 0), pace)


async def stream20(target: Target, route: str, pace: Pace) -> Figures:
    """Streams of 20 chunks, as fast as they go, on 32 connections."""
    return await _saturate(target, Load(target.port, target.request(route, stream=True, chunks=20), 20), pace)


async def ttft(target: Target, route: str, pace: Pace) -> Figures:
    """Time to the first token on one connection, one request after the other."""
    load = Load(target.port, target.request(route, stream=True, chunks=5), 5)
    await load.open(1)
    window = await _window(target, load, pace)
    p50, p99 = _p50_p99(window.tally.first_ms)
    replies = window.tally.replies
    return {"ttft_p50_ms": p50, "ttft_p99_ms": p99, "requests": replies} | window.cpu("cpu_ms", 1e3, replies)


async def paced200(target: Target, route: str, pace: Pace) -> Figures:
    """200 open streams of a chunk every 10 ms: 20,000 chunks a second are offered."""
    load = Load(target.port, target.request(route, stream=True, chunks=300, gap_ms=10), 300)
    await load.open(200)
    window = await _window(target, load, pace)
    p50, p99 = _p50_p99(window.tally.forward_ms)
    chunks = window.tally.chunks
    figures = {"chunks_per_s": chunks / window.took_s, "forward_p50_ms": p50, "forward_p99_ms": p99}
    return figures | window.cpu("cpu_us_per_chunk", 1e6, chunks)


async def memory(target: Target, route: str, pace: Pace) -> Figures:
    """RSS for each open stream, against the same process after its warm-up."""
    assert target.process is not None
    load = Load(target.port, target.request(route, stream=True, chunks=50, gap_ms=10), 50)
    await load.open(32)
    await asyncio.sleep(pace.warm_s + 0.5)
    await load.close()
    before = target.process.usage()
    load = Load(target.port, target.request(route, stream=True, chunks=60, gap_ms=1000), 60)
    await load.open(pace.open_streams)
    await _until(
        lambda: load.tally.chunks >= 2 * pace.open_streams, load, f"{pace.open_streams} open streams"
    )
    with_streams = target.process.usage()
    await load.close()
    grown_kib = with_streams.rss_kib - before.rss_kib
    return {"kib_per_stream": grown_kib / pace.open_streams, "rss_before_mib": before.rss_kib / 1024}


async def waiting(target: Target, route: str, pace: Pace) -> Figures:
    """Threads while 200 requests wait for their first byte."""
    assert target.process is not None
    load = Load(target.port, target.request(route, stream=False), 0)
    await load.open(8)
    await asyncio.sleep(pace.warm_s)
    await load.close()
    before = target.process.usage().threads
    load = Load(target.port, target.request(route, stream=False, wait_ms=4000), 0)
    await load.open(200, once=True)
    await asyncio.sleep(2)
    with_requests = target.process.usage().threads
    await _until(lambda: all(connection.lost.done() for connection in load.connections), load, "200 replies")
    return {"threads_before": before, "threads_added": with_requests - before}


async def slow_reader(target: Target, route: str, pace: Pace) -> Figures:
    """RSS gained while 10 clients stop reading in streams of 40 MB each."""
    assert target.process is not None
    load = Load(target.port, target.request(route, stream=True, chunks=20), 20)
    await load.open(32)
    await asyncio.sleep(pace.warm_s)
    await load.close()
    before = target.process.usage()
    load = Load(target.port, target.request(route, stream=True, chunks=200_000), 200_000)
    await load.open(10)
    await _until(lambda: load.tally.chunks > 100, load, "the start of the streams")
    for connection in load.connections:
        connection.transport.pause_reading()
    await asyncio.sleep(3 * pace.seconds)
    grown_kib = target.process.usage().rss_kib - before.rss_kib
    await load.close()
    return {"grown_mib": grown_kib / 1024}


async def drain(target: Target, route: str, pace: Pace) -> Figures:
    """The share of streams that end whole when the server is told to stop in their middle."""
    assert target.process is not None
    load = Load(target.port, target.request(route, stream=True, chunks=200, gap_ms=10), 200)
    await load.open(20, once=True)
    await _until(lambda: load.tally.chunks > 200, load, "the start of the streams")
    await asyncio.to_thread(target.process.stop)
    await asyncio.gather(*[connection.lost for connection in load.connections])
    return {"whole_share": load.tally.replies / 20}


SCENARIOS: dict[str, Scenario] = {
    "small": small,
    "stream20": stream20,
    "ttft": ttft,
    "paced200": paced200,
    "memory": memory,
    "waiting": waiting,
    "slow_reader": slow_reader,
    "drain": drain,
}
# Each has an instance of its own: a heap that has grown before does not grow, and the last ends it.
FRESH = ("memory", "slow_reader", "drain")


def applies(scenario: str, target: Target) -> bool:
    """Direct only serves as what is offered; how a server stops and waits is asked of ours alone."""
    if scenario in ("slow_reader", "drain"):
        return target.process is not None and target.name not in PEERS
    return target.process is not None or scenario not in ("memory", "waiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What came in the time measured."""

    tally: Tally
    took_s: float
    cpu_s: float | None  # of the target's processes
    others_s: float  # of all other programs on the target's core

    def cpu(self, name: str, unit: float, count: int) -> Figures:
        """CPU for each of `count`, in units of which a second has `unit`, and the shares of the core."""
        if self.cpu_s is None:
            return {}
        return {
            name: self.cpu_s * unit / count,
            "cpu_share": self.cpu_s / self.took_s,
            "others_share": self.others_s / self.took_s,
        }


async def _saturate(target: Target, load: Load, pace: Pace) -> Figures:
    await load.open(32)
    window = await _window(target, load, pace)
    p50, p99 = _p50_p99(window.tally.whole_ms)
    replies = window.tally.replies
    return {"rps": replies / window.took_s, "p50_ms": p50, "p99_ms": p99} | window.cpu("cpu_ms", 1e3, replies)


async def _window(target: Target, load: Load, pace: Pace) -> Window:
    readings: list[tuple[float, float]] = []
    process = target.process

    def read() -> None:
        if process is not None:
            readings.append((process.usage().cpu_s, busy_s(process.core)))

    took_s = await load.run(pace.warm_s, pace.seconds, read)
    tally = load.tally
    load.tally = Tally()
    await load.close()
    _check(tally)
    if not readings:
        return Window(tally=tally, took_s=took_s, cpu_s=None, others_s=0.0)
    cpu_s, core_s = (after - before for before, after in zip(*readings, strict=True))
    return Window(tally=tally, took_s=took_s, cpu_s=cpu_s, others_s=max(0.0, core_s - cpu_s))


async def _until(reached: Callable[[], bool], load: Load, what: str) -> None:
    try:
        async with asyncio.timeout(60):
            while not reached():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise Failed(f"{what}: not reached in a minute; {load.tally.last_error}") from None
    _check(load.tally)


def _check(tally: Tally) -> None:
    if tally.errors:
        raise Failed(f"{tally.errors} wrong replies, the last: {tally.last_error}")
    if not tally.replies and not tally.chunks:
        raise Failed("nothing was answered")


def _p50_p99(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        raise Failed(f"{len(values)} values are too few; measure longer")
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98]

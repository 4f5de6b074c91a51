"""Serving one generation: submit it to the node, pace its tokens, obey the armed faults."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.simulator.answer import Answer, limited
from scheduler.simulator.errors import BUSY, RUNNER_STOPPED, RUNTIME_OOM
from scheduler.simulator.events import Answered, Refused, Request, Segment, Started
from scheduler.simulator.exchange import JSON, PLAIN_JSON, Exchange
from scheduler.simulator.faults import STREAM_KINDS, Fault
from scheduler.simulator.framing import Framing, Outcome
from scheduler.simulator.simulator import Simulator

_QUIET_TOKENS = 256  # shorter undelayed answers are written without watching for a disconnect
_EXIT_STATUS = 137  # as after a kill -9


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One generation to serve. `num_predict` 0 and below follow Ollama's rules (section 6.4)."""

    request: Request
    answer: Answer  # without limits
    framing: Framing
    num_predict: int
    stops: Sequence[str]
    arrived_at: float


class _Over(Exception):
    """The response has come to its end, well or not."""


async def serve(sim: Simulator, exchange: Exchange, job: Job) -> None:
    """Answer a generation, a load or an unload; a client that leaves cancels it."""
    try:
        if sim.board.faults and await _refused_by_fault(sim, exchange, job):
            return
        reply = sim.driver.submit(job.request)
        if reply is None:
            exchange.watch()
            reply = await sim.driver.reply(job.request.id)
        if isinstance(reply, Refused):
            await _refuse(exchange, job, reply.status, reply.error, late=reply.status == 400)
        elif isinstance(reply, Answered):
            await exchange.respond(200, job.framing.json_type, job.framing.answered(reply.reason))
        else:
            await _Performance(sim, exchange, job, reply).play()
    finally:
        sim.driver.cancel(job.request.id)
        exchange.unwatch()


async def _refuse(exchange: Exchange, job: Job, status: int, text: str, *, late: bool) -> None:
    """`late` errors come from the runner: a stream's headers are chosen by then."""
    late = late and job.framing.stream
    body = job.framing.error(status, text)
    await exchange.respond(status, PLAIN_JSON if late else job.framing.json_type, body, chunked=late)


async def _refused_by_fault(sim: Simulator, exchange: Exchange, job: Job) -> bool:
    if sim.board.take(("busy_503",), job.request.model):
        await _refuse(exchange, job, 503, BUSY, late=False)
        return True
    if late := sim.board.take(("latency",), job.request.model):
        exchange.watch()
        await sim.driver.sleep(late.value)
    return False


def _limit(job: Job, started: Started) -> int:
    """The most tokens: 10 contexts, which is also what 0 means; without shift what room the context has."""
    cap = 10 * started.num_ctx
    if job.request.shift is False:
        cap = max(1, started.num_ctx - started.prompt_tokens)
    return min(job.num_predict, cap) if job.num_predict > 0 else cap


class _Performance:
    """One started generation on its way to the client."""

    def __init__(self, sim: Simulator, exchange: Exchange, job: Job, started: Started) -> None:
        self.sim = sim
        self.exchange = exchange
        self.job = job
        self.started = started
        self.answer = limited(job.answer, _limit(job, started), job.stops)
        self.fault: Fault | None = None
        self.token_s = started.token_s
        if sim.board.faults:
            self.fault = sim.board.take(STREAM_KINDS, job.request.model)
            drip = sim.board.take(("slow_drip",), job.request.model)
            self.token_s = drip.value if drip else self.token_s
        delayed = self.token_s > 0 or started.prefill_s > 0 or self.fault is not None
        if delayed or self.answer.tokens > _QUIET_TOKENS:
            exchange.watch()

    async def play(self) -> None:
        if self.started.prefill_s:
            await self.sim.driver.sleep(self.started.prefill_s)
        try:
            if self.job.framing.stream:
                await self._stream()
            else:
                await self._whole()
        except _Over:
            return

    async def _stream(self) -> None:
        framing, due = self.job.framing, self.sim.driver.now()
        for index, (text, thinking) in enumerate(self._pieces()):
            due += self.token_s
            await self._pace(due)
            if self.fault is not None and index == self.fault.after:
                await self._go_wrong(self.fault)
            await self._write(framing.piece(text, thinking=thinking))
        if self.fault is not None and self.fault.after >= len(self.answer.thinking) + len(
            self.answer.content
        ):
            await self._go_wrong(self.fault)
        if self.answer.tool_calls:
            await self._write(framing.tools(self.answer.tool_calls))
        await self._write(framing.last(self._finish()))
        await self.exchange.end()

    async def _whole(self) -> None:
        if self.token_s:
            await self.sim.driver.sleep(self.token_s * self.answer.tokens)
        if self.fault is not None:
            await self._go_wrong(self.fault)
        framing = self.job.framing
        await self.exchange.respond(200, framing.json_type, framing.whole(self._finish()))

    def _pieces(self) -> list[tuple[str, bool]]:
        return [
            *((text, True) for text in self.answer.thinking),
            *((text, False) for text in self.answer.content),
        ]

    async def _pace(self, due: float) -> None:
        wait = due - self.sim.driver.now()
        if wait > 0:
            await self.sim.driver.sleep(wait)

    async def _write(self, data: bytes) -> None:
        if not self.exchange.started:
            await self.exchange.start(200, self.job.framing.stream_type)
        await self.exchange.write(data)

    def _finish(self) -> Outcome:
        """Free the slot before the last bytes leave, so that the client's next request finds it free."""
        driver = self.sim.driver
        text = "".join(self.answer.content)
        answer = Segment(key=hash(("assistant", text)), tokens=self.answer.tokens)
        driver.finish(self.job.request.id, answer)
        return Outcome(
            answer=self.answer,
            started=self.started,
            arrived_at=self.job.arrived_at,
            ended_at=driver.now(),
            prompt_tokens=self.job.request.prompt_tokens,
            generation=self.sim.generation,
        )

    # ---- faults

    async def _go_wrong(self, fault: Fault) -> None:
        """Do what the fault says; raises _Over unless the answer goes on."""
        if fault.kind == "death":
            os._exit(_EXIT_STATUS)
        if fault.kind == "hang":
            await self._hang()
        if fault.kind in ("garbage_line", "huge_line"):
            await self._write_line(fault)
            return
        if fault.kind in ("cut_mid_stream", "eof_without_done"):
            await self._end_early(whole_body=fault.kind == "eof_without_done")
        else:
            await self._fail(fault.kind)
        raise _Over

    async def _hang(self) -> None:
        if not self.exchange.started and self.job.framing.stream and self.fault and self.fault.after:
            await self.exchange.start(200, self.job.framing.stream_type)
        while True:
            await self.sim.driver.sleep(3600)

    async def _write_line(self, fault: Fault) -> None:
        line = b"{not json at all\n" if fault.kind == "garbage_line" else b"x" * int(fault.value) + b"\n"
        self.fault = None
        if self.job.framing.stream:
            await self._write(line)
        else:
            await self.exchange.respond(200, JSON, line)
            raise _Over

    async def _end_early(self, *, whole_body: bool) -> None:
        """A server that returns in the middle of a body makes uvicorn close the connection."""
        if not self.exchange.started:
            await self.exchange.start(200, self.job.framing.stream_type if self.job.framing.stream else JSON)
        if whole_body:
            await self.exchange.end()

    async def _fail(self, kind: str) -> None:
        text = RUNTIME_OOM if kind == "oom_running" else RUNNER_STOPPED
        if kind == "runner_crash":
            self.sim.driver.fail_runner(self.job.request.model)
        if kind == "oom_running":
            self.sim.driver.runtime_oom()
        if self.exchange.started:
            await self._write(self.job.framing.failed(text))
            await self.exchange.end()
        else:
            await _refuse(self.exchange, self.job, 500, text, late=True)

"""The node's clock and its waiting clients: turns the state machine's events into awaited answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from scheduler.simulator.events import (
    Answered,
    Cancelled,
    Event,
    Finished,
    Refused,
    Request,
    Segment,
    Started,
)
from scheduler.simulator.node import Node

Reply = Started | Answered | Refused


class Driver:
    """Runs one node in one event loop. `scale` is how many of the node's seconds pass in one second."""

    def __init__(self, node: Node, *, scale: float = 1.0) -> None:
        self.node = node
        self.scale = scale
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()  # uvloop's own clock moves in whole milliseconds
        self._waiters: dict[int, asyncio.Future[Reply]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._next_id = 0

    def now(self) -> float:
        """The node's seconds since it started."""
        return (time.monotonic() - self._began) * self.scale

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    async def sleep(self, seconds: float) -> None:
        """Sleep for some of the node's seconds."""
        await asyncio.sleep(seconds / self.scale)

    def submit(self, request: Request) -> Reply | None:
        """Hand a request over; None means that `reply` will bring its answer."""
        events = self.node.submit(request, self.now())
        self._dispatch(events)
        for event in events:
            if event.request_id == request.id and not isinstance(event, Finished | Cancelled):
                return event
        return None

    async def reply(self, request_id: int) -> Reply:
        """Wait until a request has its slot, its answer or its refusal."""
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        self._waiters[request_id] = waiter
        try:
            return await waiter
        finally:
            del self._waiters[request_id]

    def finish(self, request_id: int, answer: Segment | None = None) -> None:
        self._dispatch(self.node.finish(request_id, self.now(), answer))

    def cancel(self, request_id: int) -> None:
        """Nothing happens when the request has already ended."""
        self._dispatch(self.node.cancel(request_id, self.now()))

    def runtime_oom(self) -> None:
        self._dispatch(self.node.runtime_oom(self.now()))

    def fail_runner(self, model: str) -> None:
        self._dispatch(self.node.fail_runner(model, self.now()))

    def unstick(self) -> None:
        self._dispatch(self.node.unstick(self.now()))

    def catch_up(self) -> None:
        """Bring the node to the present before its state is read."""
        self._dispatch(self.node.advance(self.now()))

    def _dispatch(self, events: Iterable[Event]) -> None:
        for event in events:
            waiter = self._waiters.get(event.request_id)
            if waiter is not None and not waiter.done() and not isinstance(event, Finished | Cancelled):
                waiter.set_result(event)
        self._arm()

    def _arm(self) -> None:
        """Wake when the node next has something to do; an earlier pending wake-up stays."""
        at = self.node.next_event_at()
        if at is None:
            return
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(max(0.0, (at - self.now()) / self.scale), self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.catch_up()

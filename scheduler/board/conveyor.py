"""Commands to Redis, in the order in which they were given, as many in one round trip as are there.

One trip is under way at a time, on one connection: a settling that was given before an admission reaches
Redis before it, and under load the cost of a trip is shared by all commands in it. A breaker stands in front:
after a failed trip every command fails at once, until a probe beside the traffic finds Redis answering.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from scheduler.board.interface import BoardDown
from scheduler.board.library import LIBRARY

log = logging.getLogger(__name__)

GRACE_S = 0.1  # after the time for a trip: where this process itself was busy, the answer is there by then
BATCH = 256  # commands in one trip
QUEUE = 10_000  # commands that wait for a trip; more is a board that cannot keep up
UNFIT = (ReadOnlyError, OutOfMemoryError, RedisConnectionError)  # a server that is up but cannot be a board
PROBE_S = (0.05, 1.0)  # first and longest pause between probes of a dead Redis

Command = tuple[str, ...]
Answer = Any  # what hiredis makes of a reply: bytes, int, list or None


def command_client(url: str) -> Redis:
    """A client that never tries again by itself (redis-py would for seconds); a trip has its own time."""
    client: Redis = Redis.from_url(
        url, socket_timeout=None, retry=Retry(NoBackoff(), 0), health_check_interval=0
    )
    return client


class Conveyor:
    """`on_down` and `on_up` are called when the breaker opens and closes; they must not block."""

    def __init__(
        self, client: Redis, timeout_s: float, on_down: Callable[[], None], on_up: Callable[[], None]
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s  # of a round trip, connecting included
        self._connection: AbstractConnection | None = None
        self._on_down = on_down
        self._on_up = on_up
        self._queue: list[tuple[Command, asyncio.Future[Answer]]] = []
        self._runner: asyncio.Task[None] | None = None
        self._prober: asyncio.Task[None] | None = None
        self._error: BaseException | None = None  # why the breaker is open
        self._ready = False  # the server knows the library

    @property
    def down(self) -> bool:
        return self._error is not None

    def run(self, operation: str, key: str, *args: str) -> asyncio.Future[Answer]:
        """The answer of a function. Raises BoardDown at once while the breaker is open."""
        return self.send("FCALL", LIBRARY.function(operation), "1", key, *args)

    def send(self, *command: str) -> asyncio.Future[Answer]:
        """The answer of a command. Raises BoardDown at once while the breaker is open."""
        if self._error is not None:
            raise BoardDown(f"Redis does not answer: {self._error}.") from self._error
        if len(self._queue) >= QUEUE:
            raise BoardDown(f"{QUEUE} commands wait for Redis: it cannot keep up.")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append((command, answer))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="board-conveyor")
        return answer

    async def _run(self) -> None:
        batch: list[tuple[Command, asyncio.Future[Answer]]] = []
        try:
            while self._queue:
                batch, self._queue = self._queue[:BATCH], self._queue[BATCH:]
                if not self._ready:
                    await self._teach()
                self._deliver(batch, await self._trip([command for command, _ in batch]))
        except Exception as error:  # whatever it is: nobody may be left waiting for an answer
            self._break(batch, error)
        finally:
            self._runner = None

    async def _trip(self, commands: Sequence[Command]) -> list[Answer]:
        answers = await self._pipeline(commands)
        unknown = [at for at, answer in enumerate(answers) if is_unknown(answer)]
        if unknown:  # FUNCTION FLUSH, or another server behind the same address
            await self._teach()
            for at, answer in zip(
                unknown, await self._pipeline([commands[at] for at in unknown]), strict=True
            ):
                answers[at] = answer
        for answer in answers:
            if isinstance(answer, UNFIT):
                raise answer
        return answers

    async def _pipeline(self, commands: Sequence[Command]) -> list[Answer]:
        exchange = asyncio.ensure_future(self._exchange(commands))
        try:
            for patience_s in (self._timeout_s, GRACE_S):
                done, _ = await asyncio.wait({exchange}, timeout=patience_s)
                if done:
                    return exchange.result()
        finally:
            exchange.cancel()
        raise TimeoutError(f"no answer within {self._timeout_s} s")

    async def _exchange(self, commands: Sequence[Command]) -> list[Answer]:
        if self._connection is None:
            pool = self._client.connection_pool
            self._connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        connection = self._connection
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        return [await self._read(connection) for _ in commands]

    @staticmethod
    async def _read(connection: AbstractConnection) -> Answer:
        try:
            return await connection.read_response()
        except ResponseError as error:
            return error

    async def _teach(self) -> None:
        (answer,) = await self._pipeline([("FUNCTION", "LOAD", "REPLACE", LIBRARY.source)])
        if isinstance(answer, ResponseError):
            raise answer
        self._ready = True

    def _deliver(
        self, batch: Sequence[tuple[Command, asyncio.Future[Answer]]], answers: Sequence[Answer]
    ) -> None:
        for (command, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue  # who asked is gone
            if isinstance(answer, ResponseError):
                log.error("Redis refused %s of the board: %s", command[:2], answer)
                fail(future, f"Redis answered with an error: {answer}.")
            else:
                future.set_result(answer)

    def _break(self, batch: Sequence[tuple[Command, asyncio.Future[Answer]]], error: Exception) -> None:
        log.warning("the board's Redis does not answer, warm traffic goes on without it: %s", error)
        self._error, self._ready = error, False
        lost, self._queue = [*batch, *self._queue], []
        for _, future in lost:
            if not future.done():
                fail(future, f"Redis does not answer: {error}.")
        self._prober = asyncio.create_task(self._probe(), name="board-probe")
        self._on_down()

    async def _probe(self) -> None:
        pause, longest = PROBE_S
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)
            try:
                await self._hang_up()  # the address may mean another server now
                await self._teach()
            except (RedisError, OSError) as error:
                self._error = error
                continue
            log.warning("the board's Redis answers again")
            self._error = None
            self._on_up()
            return

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._client.connection_pool.release(connection)

    async def aclose(self) -> None:
        """Send what waits, then close."""
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.gather(self._prober, return_exceptions=True)
        if self._runner is not None:
            await asyncio.wait([self._runner], timeout=2.0)
        await self._hang_up()
        await self._client.aclose()


def is_unknown(answer: Answer) -> bool:
    """Whether the server does not know the function."""
    return isinstance(answer, ResponseError) and str(answer).startswith("Function not found")


def fail(future: asyncio.Future[Answer], why: str) -> None:
    """Answer with BoardDown; what nobody waits for (a settling) is no unhandled error."""
    future.set_exception(BoardDown(why))
    future.exception()

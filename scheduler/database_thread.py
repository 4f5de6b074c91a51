"""Database work of asynchronous code, on one thread of its own: no event loop waits for a query."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseThread:
    """Runs functions one after another. A pooled connection goes back after each; SQLite's stays open."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's value. A caller that is cancelled does not stop the work."""

        def in_thread() -> T:
            try:
                return work(*args, **kwargs)
            finally:
                _let_go()

        return await asyncio.get_running_loop().run_in_executor(self._executor, in_thread)

    async def aclose(self) -> None:
        """Wait for what runs, and close the thread's connections."""
        await asyncio.get_running_loop().run_in_executor(self._executor, connections.close_all)
        self._executor.shutdown(wait=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _let_go() -> None:
    """Closing the last connection to a SQLite file would checkpoint its log each time."""
    for connection in connections.all(initialized_only=True):
        if connection.vendor != "sqlite" or connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()

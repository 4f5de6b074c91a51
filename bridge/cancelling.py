"""Cancellations that operators ask for: each process ends those requests that it holds itself.

They are rows, so that they reach the right process with or without Redis. A request that no process holds has
ended already; the scheduler says so to who asked (scheduler.residency.operators).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from bridge.hot.client import OPERATOR
from bridge.snapshots import Keeper
from scheduler.models import OperatorRequest, Revision
from scheduler.models.operator_request import CANCELLATIONS

if TYPE_CHECKING:
    from bridge.plane import DataPlane

log = logging.getLogger(__name__)

LOOP_S = 5.0  # how long a busy event loop may let the keeper wait

Asked = list[tuple[int, str]]  # row, request id


class Cancelling:
    """Made on the event loop that serves."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._loop = asyncio.get_running_loop()
        self.keeper: Keeper[Asked] = Keeper(
            "cancellations", load=asked, revision=revision, on_change=self._carry_out
        )

    def _carry_out(self, wanted: Asked) -> None:
        """In the keeper's thread, where the database may be asked."""
        if not wanted:
            return
        ids = {request_id for _, request_id in wanted}
        ended = asyncio.run_coroutine_threadsafe(self._end(ids), self._loop).result(LOOP_S)
        for row, request_id in wanted:
            if request_id in ended:
                OperatorRequest.objects.get(pk=row).finish(OperatorRequest.State.DONE, "Cancelled.")

    async def _end(self, ids: Collection[str]) -> set[str]:
        """End those of the requests that this process holds, and say which those are."""
        found = [client for client in self._plane.clients if client.request_id in ids and not client.gone]
        for client in found:
            log.info("request %s is cancelled by an operator", client.request_id)
            client.leave(OPERATOR)
        return {client.request_id for client in found}


def revision() -> int:
    return Revision.objects.number(CANCELLATIONS)


def asked() -> Asked:
    """Cancellations that nobody carried out yet."""
    return list(OperatorRequest.objects.cancellations().values_list("pk", "request_id"))

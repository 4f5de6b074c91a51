"""Actions: what changes a node. One at a time per node, nodes in parallel, each a task that no client owns.

Before each command to a node the lead is confirmed: a scheduler that was deposed sends none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from scheduler.board.interface import BoardDown
from scheduler.nodes.errors import NodeDown, NodeFailure
from scheduler.policy.decisions import Evict, Load
from scheduler.policy.state import Action, Resident
from scheduler.residency.lead import Deposed
from scheduler.residency.loading import load, renew
from scheduler.residency.means import Means
from scheduler.residency.probing import probe
from scheduler.residency.unloading import StillBusy, clear

log = logging.getLogger(__name__)


class Actions:
    """Begins actions and sees them to their end."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by node
        self._called_off: dict[str, Callable[[], None]] = {}  # by node

    def begin(
        self, decision: Load | Evict, *, key: str = "", ended: Callable[[], None] | None = None
    ) -> bool:
        """Start carrying it out for `key`; False when the node already does something. `ended` is called when
        it is over, whatever came of it."""
        fleet, node = self._means.fleet, decision.node
        if node in fleet.busy or node not in fleet.clients:
            return False
        self._start(node, _shown(decision, fleet.clock()), self._carry_out(decision, key), ended)
        return True

    def call_off(self, node: str, noted: Callable[[], None]) -> None:
        """Give up what runs on the node: Ollama ends a load with its connection. The node is free again once
        its VRAM is. `noted` is called when the load was given up, unless it had ended before."""
        task = self._tasks.get(node)
        if task is not None and node not in self._called_off:
            self._called_off[node] = noted
            task.cancel()

    def renew(self, resident: Resident) -> bool:
        """Renew the keep_alive of a resident; False when its node does something."""
        fleet = self._means.fleet
        if resident.node in fleet.busy or resident.node not in fleet.clients:
            return False
        shown = Action(
            kind="load", model=resident.model, since=fleet.clock(), num_ctx=resident.profile.num_ctx
        )
        self._start(resident.node, shown, renew(self._means, resident))
        return True

    def probe(self, decision: Load) -> bool:
        """Try whether the node can load again; False when it does something."""
        fleet, node = self._means.fleet, decision.node
        if node in fleet.busy or node not in fleet.clients:
            return False
        self._start(node, _shown(decision, fleet.clock()), probe(self._means, decision))
        return True

    async def stop(self, grace_s: float) -> None:
        """Give running actions a moment to end, then cancel them."""
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cancel(self) -> None:
        """Stop acting at once: somebody else leads."""
        for task in list(self._tasks.values()):
            task.cancel()

    async def _carry_out(self, decision: Load | Evict, key: str) -> None:
        if isinstance(decision, Load):
            await load(self._means, decision, key)
        else:
            await clear(self._means, decision.node, decision.model, decision.cause, decision.reason)

    def _start(
        self,
        node: str,
        shown: Action,
        work: Coroutine[Any, Any, None],
        ended: Callable[[], None] | None = None,
    ) -> None:
        self._means.fleet.busy[node] = shown
        run = self._run(node, shown.model, work, ended)
        self._tasks[node] = asyncio.create_task(run, name=f"act-{node}")

    async def _run(
        self, node: str, model: str, work: Coroutine[Any, Any, None], ended: Callable[[], None] | None
    ) -> None:
        done = False
        try:
            await work
            done = True
        except (Deposed, BoardDown, StillBusy, NodeFailure) as error:
            log.warning("%s on %s is given up: %s", model, node, error)
            if isinstance(error, NodeDown):
                await self._means.look(node)
        except asyncio.CancelledError:
            if (noted := self._called_off.pop(node, None)) is None:
                raise
            noted()
            await asyncio.sleep(self._means.fleet.sights[node].recovery_s(self._means.fleet.pace))
            done = True
        except Exception:  # an action is nobody's to await: said here, and the next round decides anew
            log.exception("%s on %s failed", model, node)
        finally:
            self._means.fleet.busy.pop(node, None)
            self._tasks.pop(node, None)
            self._called_off.pop(node, None)
            if ended is not None:
                ended()
            if done:
                self._means.wake()  # what was given up waits for the tick instead of being tried at once


def _shown(decision: Load | Evict, now: float) -> Action:
    """The action as policy sees it on the node."""
    if isinstance(decision, Evict):
        return Action(kind="evict", model=decision.model, since=now)
    return Action(
        kind="load",
        model=decision.model,
        since=now,
        until=now + decision.expected_s,
        num_ctx=decision.profile.num_ctx,
        bytes=decision.bytes,
        cause=decision.cause,
    )

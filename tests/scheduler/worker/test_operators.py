"""What operators ask for by commands, carried out by a worker, with the real database and a real node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command

from scheduler import catalogue
from scheduler.board.memory import MemoryBoard
from scheduler.models import LedgerEntry, Node, OperatorRequest, PinningPolicy
from scheduler.simulator.process import NodeProcess
from scheduler.worker import Worker
from tests.conftest import FakeNode
from tests.scheduler.worker.cast import QUICK, QUICKLY, eventually, loadable, seated

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def node(fake_node: FakeNode, transactional_db: None) -> NodeProcess:
    node = fake_node("a=2,b=2,huge=60", slots=2)
    Node.objects.create(name="n1", url=node.url, slots=2, vram_bytes=24 * 2**30)
    asyncio.run(catalogue.sync())
    return node


@asynccontextmanager
async def worker(board: MemoryBoard) -> AsyncIterator[Worker]:
    worker = Worker(board, pace=QUICK, config=QUICKLY)
    await worker.start()
    try:
        await asyncio.wait_for(worker.settled.wait(), 10)
        await eventually(lambda: worker.fleet.rows.models)
        yield worker
    finally:
        await worker.stop()


def run(*args: str) -> str:
    out = StringIO()
    call_command(*args, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


async def manage(*args: str) -> str:
    return await sync_to_async(run, thread_sensitive=False)(*args)


async def refused(*args: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        await manage(*args)
    return caught.value


def loaded(node: NodeProcess) -> set[str]:
    return {r["model"] for r in node.state()["residents"]}


async def test_load_and_evict(node: NodeProcess) -> None:
    async with worker(MemoryBoard()):
        said = await manage("load", "a", "--wait", "--timeout", "10")
        assert said.startswith("a:latest is loaded on n1 in ")
        assert loaded(node) == {"a:latest"}
        assert await manage("load", "a", "--node", "n1", "--wait") == "a:latest is loaded on n1."
        assert await manage("evict", "a", "--wait") == "a:latest is not loaded on n1."
        assert loaded(node) == set()
        assert await manage("evict", "a") == "a:latest is not loaded on any node that answers."
    causes = [c async for c in LedgerEntry.objects.order_by("id").values_list("kind", "cause")]
    assert causes == [("load", "operator"), ("evict", "operator")]


async def test_what_cannot_be_done_is_refused_with_its_reason(node: NodeProcess) -> None:
    async with worker(MemoryBoard()):
        assert "not in the catalogue" in str(await refused("load", "nothing", "--wait"))
        assert "There is no node" in str(await refused("load", "a", "--node", "n9"))
        bad = await refused("load", "no name!")
        assert (bad.returncode, "is not a model name" in str(bad)) == (2, True)


async def test_a_busy_model_is_drained_before_an_operator_s_eviction(node: NodeProcess) -> None:
    board = MemoryBoard()
    async with worker(board):
        mine = await seated(board, "a:latest")
        asked = asyncio.create_task(manage("evict", "a", "--wait"))
        await eventually(lambda: any_draining(board))
        assert loaded(node) == {"a:latest"}
        await board.settle(mine.ticket, 1)
        await asked
        assert loaded(node) == set()


async def any_draining(board: MemoryBoard) -> bool:
    return any(not r.accepting for r in await board.residents())


async def test_a_pin_loads_and_keeps_and_an_unpin_lets_go(node: NodeProcess) -> None:
    async with worker(MemoryBoard()):
        assert await manage("pin", "a", "--wait") == "a:latest is kept from now on."
        await eventually(lambda: loaded(node) == {"a:latest"})
        assert await manage("pin", "a", "--wait") == "a:latest is kept already, by pin a:latest."
        assert "is kept by pin a:latest. Unpin it first." in str(await refused("evict", "a", "--wait"))
        assert await manage("unpin", "a", "--wait") == "Taken back: pin a:latest."
        assert "No pin names a:latest itself." in str(await refused("unpin", "a", "--wait"))
        await eventually(evicts("a"))
    assert not await PinningPolicy.objects.aexists()


def evicts(model: str) -> Callable[[], object]:
    async def check() -> bool:
        try:
            await manage("evict", model, "--wait")
        except CommandError:  # until the worker has read the rows without the pin
            return False
        return True

    return check


async def test_pins_that_cannot_be_kept_are_refused_and_explained(node: NodeProcess) -> None:
    async with worker(MemoryBoard()):
        said = str(await refused("pin", "huge", "--wait"))
    assert "huge:latest" in said
    assert "GB" in said


async def test_a_drained_node_is_emptied_and_undrained_it_works_again(node: NodeProcess) -> None:
    board = MemoryBoard()
    async with worker(board):
        mine = await seated(board, "a:latest")
        asked = asyncio.create_task(manage("drain", "n1", "--wait"))
        await eventually(lambda: any_draining(board))
        assert (await Node.objects.aget()).draining
        await board.settle(mine.ticket, 1)
        assert await asked == "n1 holds nothing and gets no new work."
        assert loaded(node) == set()
        assert await manage("undrain", "n1", "--wait") == "n1 takes new work again."
        await eventually(lambda: takes_work(board))


async def takes_work(board: MemoryBoard) -> bool:
    return await loadable(board, "a:latest")


async def test_without_a_scheduler_a_request_waits_and_says_so(node: NodeProcess) -> None:
    late = await refused("load", "a", "--wait", "--timeout", "0.3")
    assert late.returncode == 3
    assert "does a scheduler run?" in str(late)
    (filed,) = json.loads(await manage("load", "b", "--json"))
    assert (filed["kind"], filed["model"], filed["state"]) == ("load", "b:latest", "asked")
    async with worker(MemoryBoard()):
        await eventually(lambda: loaded(node) == {"a:latest", "b:latest"})
    states = [s async for s in OperatorRequest.objects.values_list("state", flat=True)]
    assert states == ["done", "done"]


async def test_what_is_still_open_can_be_cancelled(node: NodeProcess) -> None:
    board = MemoryBoard()
    async with worker(board):
        await seated(board, "a:latest")
        asked = await sync_to_async(OperatorRequest.objects.ask)(
            "evict", node="n1", model="a", asked_by="ann"
        )
        await eventually(lambda: any_draining(board))
        await sync_to_async(OperatorRequest.objects.ask)("cancel", model="a", asked_by="bob")
        await eventually(lambda: outcome(asked))
        assert await outcome(asked) == "Cancelled by bob."
        await eventually(lambda: none_draining(board))


async def outcome(request: OperatorRequest) -> str:
    return (await OperatorRequest.objects.aget(pk=request.pk)).outcome


async def none_draining(board: MemoryBoard) -> bool:
    return not await any_draining(board)

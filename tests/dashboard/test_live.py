"""The live page: its figures, who may see them, and what its buttons file."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client

from bridge.models import Actor, ApiKey, AuditEvent
from dashboard import live
from dashboard.consumers import NOT_ALLOWED
from dashboard.routing import websockets
from scheduler.board import current
from scheduler.board.interface import BoardDown, Ticket
from scheduler.board.interface import Resident as Published
from scheduler.board.memory import MemoryBoard
from scheduler.models import LedgerEntry, Node, OperatorRequest
from tests.dashboard.conftest import signed_in

pytestmark = pytest.mark.django_db
GIB = 2**30


def resident(model: str = "qwen3:latest", **facts: Any) -> dict[str, Any]:
    return {
        "model": model,
        "bytes": 6 * GIB,
        "predicted_bytes": 5 * GIB,
        "spilled_bytes": 0,
        "num_ctx": 8192,
        "slots": 4,
        "kv_type": "f16",
        "loaded_at": 1.0,
        "load_s": 2.5,
        "cause": "demand",
        "pinned": False,
        "accepting": True,
        "wanted_by": None,
        **facts,
    }


LOADING = {
    "kind": "load",
    "model": "gemma3:latest",
    "since": 1.0,
    "until": 9.0,
    "bytes": 4 * GIB,
    "num_ctx": 8192,
}


@pytest.fixture
def gpu1() -> Node:
    scene = {"residents": [resident(spilled_bytes=GIB)], "doing": LOADING}
    return Node.objects.create(
        name="gpu1", url="http://gpu1:11434", state="up", vram_bytes=24 * GIB, scene=scene
    )


@pytest.fixture
def own_board() -> Iterator[None]:
    """What a test installs is gone after it."""
    before = current.current()
    yield
    current.install(before)


def ticket(number: int, model: str) -> Ticket:
    return Ticket(
        id=str(number),
        holder="bridge",
        key=f"key{number}",
        model=model,
        num_ctx=4096,
        tokens=10,
        deadline=time.time() + 60,
    )


@pytest_asyncio.fixture
async def board(own_board: None) -> AsyncIterator[MemoryBoard]:
    """qwen3 runs one request on gpu1, and two wait for gemma3."""
    made = MemoryBoard()
    current.install(made)
    epoch = await made.lead("scheduler")
    assert epoch is not None
    there = Published(node="gpu1", model="qwen3:latest", num_ctx=8192, slots=4)
    await made.publish([there], loadable={"gemma3:latest": 8.0}, epoch=epoch)
    await made.admit(ticket(1, "qwen3:latest"))
    for number in (2, 3):
        await made.admit(ticket(number, "gemma3:latest"))
    yield made
    await made.aclose()


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_snapshot_tells_what_is_where_and_who_waits_for_what(board: MemoryBoard) -> None:
    @sync_to_async
    def rows() -> None:
        scene = {"residents": [resident()], "doing": LOADING}
        Node.objects.create(name="gpu1", url="http://gpu1", state="up", vram_bytes=24 * GIB, scene=scene)
        ApiKey.objects.issue(actor=Actor.at_shell(), name="notebook", account="key2")
        LedgerEntry.objects.record("evict", node="gpu1", model="mistral:latest", reason="Room for gemma3.")

    await rows()
    seen = json.loads(json.dumps(await live.snapshot()))
    assert (seen["running"], seen["waiting"], seen["complaint"]) == (1, 2, "")
    (node,) = seen["nodes"]
    assert (node["used"], node["reserved"], node["free"]) == (6 * GIB, 4 * GIB, 14 * GIB)
    assert node["residents"][0]["in_flight"] == 1
    (line,) = seen["lines"]
    assert (line["model"], line["waiting"], line["keys"]) == ("gemma3:latest", 2, 2)
    assert 7 < line["wait_first_s"] <= 8
    assert line["wait_last_s"] is None, "nobody saw this line move yet"
    assert [(each["id"], each["node"], each["position"], each["key"]) for each in seen["requests"]] == [
        ("2", None, 1, "notebook"),
        ("3", None, 2, "key3"),
        ("1", "gpu1", None, "key1"),
    ]
    assert (line["why"], line["until"]) == ("It is being loaded on gpu1.", 9.0)
    assert seen["decisions"][0]["reason"] == "Room for gemma3."


class AwayBoard(MemoryBoard):
    async def demand(self) -> Any:
        raise BoardDown("no route to redis")


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_board_that_is_away_is_said_and_the_rows_are_shown_still(own_board: None) -> None:
    current.install(AwayBoard())
    await sync_to_async(Node.objects.create)(name="gpu1", url="http://gpu1", scene={})
    seen = await live.snapshot()
    assert "no route to redis" in seen["complaint"]
    assert [node["name"] for node in seen["nodes"]] == ["gpu1"]


def facts(*residents: dict[str, Any], doing: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    seated = [{**each, "in_flight": 4} for each in residents]
    return [{"name": "gpu1", "residents": seated, "doing": doing}]


def test_the_reason_why_a_line_waits_is_what_happens_for_it() -> None:
    full = "Resident on gpu1 (4 of 4 slots busy)."
    assert live.why_waiting("qwen3:latest", facts(resident())) == (full, None)
    emptying = facts(resident(wanted_by="gemma3:latest", accepting=False))
    assert live.why_waiting("gemma3:latest", emptying)[0] == "qwen3:latest on gpu1 runs empty to make room."
    assert live.why_waiting("gemma3:latest", facts())[0].startswith("Not resident")


def test_measured_free_vram_bounds_what_is_shown_as_free(gpu1: Node) -> None:
    assert live.node_facts(gpu1, [])["free"] == 14 * GIB
    assert live.node_facts(gpu1, [])["spilled"] == GIB
    gpu1.gpus = [{"free": 3 * GIB, "total": 24 * GIB}]
    assert live.node_facts(gpu1, [])["free"] == 3 * GIB


def test_a_node_of_unknown_size_has_no_free_vram() -> None:
    assert live.node_facts(Node(name="n", scene={}), [])["free"] is None


@pytest.mark.usefixtures("gpu1")
def test_a_viewer_sees_the_page_and_no_buttons(vera: Client) -> None:
    page = vera.get("/admin/live/").content.decode()
    assert "data-operates" not in page
    assert "live-load" not in page
    assert vera.get("/admin/live.json").json()["nodes"][0]["name"] == "gpu1"
    assert 'href="/admin/live/"' in vera.get("/admin/").content.decode()


def test_who_manages_keys_sees_neither_page_nor_figures_nor_link(kim: Client) -> None:
    assert kim.get("/admin/live/").status_code == 403
    assert kim.get("/admin/live.json").status_code == 403
    assert 'href="/admin/live/"' not in kim.get("/admin/").content.decode()


@pytest.mark.usefixtures("gpu1")
def test_a_viewer_cannot_ask_even_without_a_button(vera: Client) -> None:
    asked = {"kind": "evict", "node": "gpu1", "model": "qwen3"}
    assert vera.post("/admin/live/ask/", asked).status_code == 403
    assert not OperatorRequest.objects.exists()


@pytest.mark.usefixtures("gpu1")
def test_an_operator_asks_and_the_audit_log_keeps_it(olga: Client) -> None:
    reply = olga.post("/admin/live/ask/", {"kind": "evict", "node": "gpu1", "model": "qwen3"})
    assert reply.json() == {"told": "Asked of the scheduler: evict qwen3:latest on gpu1."}
    asked = OperatorRequest.objects.get()
    assert (asked.kind, asked.node, asked.asked_by) == ("evict", "gpu1", "olga")
    event = AuditEvent.objects.get(action="model.evict")
    assert (event.actor, event.after["request"]) == ("olga", asked.pk)


def test_an_operator_cancels_a_request_and_a_viewer_does_not(olga: Client, vera: Client) -> None:
    asked = {"kind": "cancel", "request": "req_1"}
    assert vera.post("/admin/live/ask/", asked).status_code == 403
    reply = olga.post("/admin/live/ask/", asked)
    assert reply.json() == {"told": "Asked of the bridge that holds it: cancel req_1."}
    filed = OperatorRequest.objects.get()
    assert (filed.kind, filed.request_id, filed.asked_by) == ("cancel", "req_1", "olga")
    assert not OperatorRequest.objects.waiting(), "it is not the scheduler's yet"
    event = AuditEvent.objects.get(action="request.cancel")
    assert (event.actor, event.target) == ("olga", "req_1")
    assert "req_1" in olga.get("/admin/scheduler/operatorrequest/").content.decode()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kind": "evict", "node": "nowhere", "model": "qwen3"}, "There is no node 'nowhere'."),
        ({"kind": "load", "node": "", "model": ""}, "load needs a model."),
        ({"kind": "explode", "node": "", "model": "qwen3"}, "There is no 'explode' to ask for."),
        ({"kind": "cancel", "node": "", "model": "qwen3"}, "Say which request is to be cancelled."),
        ({"kind": "load", "model": "qwen3", "request": "req_1"}, "load is about models and nodes."),
    ],
)
def test_what_cannot_be_asked_is_said(olga: Client, asked: dict[str, str], said: str) -> None:
    reply = olga.post("/admin/live/ask/", asked)
    assert (reply.status_code, reply.json()["error"]) == (400, said)
    assert not OperatorRequest.objects.exists()


def test_the_page_has_no_inline_script_and_no_inline_style(root: Client) -> None:
    page = root.get("/admin/live/").content.decode()
    assert "<script>" not in page
    assert "style=" not in page
    assert "onclick" not in page


def connection(client: Client | None, origin: str = "http://localhost") -> WebsocketCommunicator:
    headers = [(b"origin", origin.encode()), (b"host", b"localhost")]
    if client is not None:
        headers.append((b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()))
    return WebsocketCommunicator(websockets, "/ws/live", headers=headers)


@pytest.fixture(autouse=True)
def _no_snapshot_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.consumers.SNAPSHOTS", live.Snapshots())


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_the_socket_sends_whole_snapshots_to_who_may_see_nodes(board: MemoryBoard) -> None:
    socket = connection(await sync_to_async(signed_in)("root"))
    assert (await socket.connect())[0]
    assert (await socket.receive_json_from(timeout=5))["waiting"] == 2
    await board.settle("3", None)
    assert (await socket.receive_json_from(timeout=5))["waiting"] == 1
    await socket.disconnect()


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_the_socket_tells_who_may_not_and_closes() -> None:
    for client in (None, await sync_to_async(nobody_special)()):
        socket = connection(client)
        assert (await socket.connect())[0]
        assert await socket.receive_output(timeout=5) == {"type": "websocket.close", "code": NOT_ALLOWED}
        await socket.wait()


def nobody_special() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("staff", is_staff=True))
    return client


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_the_socket_is_refused_to_pages_of_other_sites() -> None:
    socket = connection(await sync_to_async(signed_in)("root"), origin="https://elsewhere.example")
    assert not (await socket.connect())[0]

"""A head that is too long or too slow ends its connection, and never a neighbour's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.headbounds import HEAD_BYTES
from scheduler.simulator.process import NodeProcess
from tests.bridge.served import Served
from tests.bridge.wire import Wire
from tests.conftest import QUICK
from tests.serving import Bridge, copied

TIMEOUT_S = 1


@pytest.fixture(scope="module")
def served(empty_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with ExitStack() as stack:
        node = stack.enter_context(NodeProcess("llama3.2=2", vram_gib=24, slots=4, **QUICK))
        data = copied(empty_data, tmp_path_factory.mktemp("heads") / "data")
        bridge = Bridge(data, nodes=[node.url], BRIDGE_HEAD_TIMEOUT=f"{TIMEOUT_S}s")
        stack.callback(bridge.close)
        bridge.manage("synccatalog")
        key = bridge.key()
        yield Served(node, bridge.start(), key)


def asking(served: Served, *headers: str, end: str = "\r\n\r\n") -> bytes:
    lines = ["GET /v1/models HTTP/1.1", "Host: bridge", f"Authorization: Bearer {served.key}", *headers]
    return ("\r\n".join(lines) + end).encode()


def answer(served: Served, *pieces: bytes) -> tuple[int, bytes]:
    """What the bridge answers to these bytes, sent one after the other."""
    with Wire(served.bridge, served.key) as wire:
        try:
            for piece in pieces:
                wire.send_bytes(piece)
            status, _ = wire.head()
        except (BrokenPipeError, ConnectionResetError):
            status, _ = wire.head()  # it answered and closed before all was sent
        return status, wire.read


def test_a_head_within_the_bound_is_read_however_it_is_cut(served: Served) -> None:
    long = asking(served, *(f"X-{number}: {'x' * 1000}" for number in range(60)))
    assert 60_000 < len(long) < HEAD_BYTES
    assert answer(served, long)[0] == 200
    assert answer(served, *(long[at : at + 7000] for at in range(0, len(long), 7000)))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [(f"X: {'x' * HEAD_BYTES}",), tuple(f"X-{number}: {'x' * 90}" for number in range(800))],
    ids=["one header", "many headers"],
)
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "goes on"])
def test_a_head_that_is_too_long_is_a_431(served: Served, headers: tuple[str, ...], *, ended: bool) -> None:
    whole = asking(served, *headers, end="\r\n\r\n" if ended else "")
    status, body = answer(served, *(whole[at : at + 16_000] for at in range(0, len(whole), 16_000)))
    assert status == 431
    assert b"65536 bytes" in body


def test_a_body_is_not_taken_for_a_head(served: Served) -> None:
    with served.bridge.client(served.key) as client:
        body = served.body("/api/chat", stream=False) | {"user": "x" * 4 * HEAD_BYTES}
        assert [client.post("/api/chat", json=body).status_code for _ in range(3)] == [200] * 3


def test_a_head_that_does_not_end_is_given_up_and_its_neighbour_is_served(served: Served) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(served.bridge, served.key)) for _ in range(3)]
        fresh, kept, silent = wires
        fresh.send_bytes(asking(served, end="\r\nX-Slow: "))
        kept.send_bytes(asking(served))
        assert kept.head()[0] == 200
        kept.until(b'"list"')
        kept.read = b""
        kept.send_bytes(b"\r\n")  # a blank line before a request is allowed, and starts nothing
        served.bridge.until(lambda: served.bridge.get("/v1/models", served.key).status_code == 200)
        assert fresh.head()[0] == 408
        assert b"too long" in fresh.until(b"}")
        for wire in (fresh, kept, silent):
            assert wire.closed()
        assert silent.read == b"", "who never asked gets no answer"

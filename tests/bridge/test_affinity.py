"""A conversation goes back to the node that holds its prefix, bounded by load."""

from __future__ import annotations

import json
from typing import Any

from bridge.affinity import Affinity, conversation_of
from bridge.dialects.inner import Inner
from tests.conftest import FakeNode, Serve


def chat(*contents: str) -> Inner:
    messages = [{"role": "user", "content": content} for content in contents]
    return Inner(route="chat", model="m", stream=False, body={"messages": messages})


def test_the_turns_of_a_conversation_are_one_and_other_beginnings_are_others() -> None:
    first = conversation_of("a", "m", "", chat("system", "question"))
    assert conversation_of("a", "m", "", chat("system", "question", "answer", "more")) == first
    assert conversation_of("a", "m", "", chat("system", "other")) != first
    assert conversation_of("b", "m", "", chat("system", "question")) != first


def test_a_named_session_counts_before_its_words() -> None:
    assert conversation_of("a", "m", "s1", chat("x")) == conversation_of("a", "m", "s1", chat("y"))
    assert conversation_of("a", "m", "s1", chat("x")) != conversation_of("a", "m", "s2", chat("x"))


def test_the_conversation_silent_longest_is_forgotten_first() -> None:
    affinity = Affinity(most=2)
    for conversation in (1, 2):
        affinity.served(conversation, "n")
    affinity.served(1, "n")
    affinity.served(3, "n")
    assert [affinity.node(each) for each in (1, 2, 3)] == ["n", None, "n"]


def test_a_conversation_stays_on_its_node_while_two_could_serve_it(fake_node: FakeNode, serve: Serve) -> None:
    nodes = [fake_node(slots=4), fake_node(slots=4)]
    bridge = serve([node.url for node in nodes], BRIDGE_DEFAULT_SLOTS="4")
    key = bridge.key()
    for name in {n["name"] for n in _nodes(bridge)}:
        bridge.manage("load", "llama3.2", "--node", name, "--wait")
    with bridge.client(key) as client:
        for talk in range(4):
            turns = [turn(client, f"talk {talk}", number) for number in range(3)]
            assert len(set(turns)) == 1, turns


def turn(client: Any, beginning: str, number: int) -> str:
    messages = [{"role": "user", "content": beginning}] + [{"role": "user", "content": "more"}] * number
    body = {"model": "llama3.2", "messages": [{"role": "system", "content": "s"}, *messages], "stream": False}
    reply = client.post("/api/chat", json=body | {"options": {"num_predict": 1}})
    assert reply.status_code == 200
    return str(reply.headers["x-bridge-node"])


def _nodes(bridge: Any) -> list[dict[str, Any]]:
    rows = json.loads(bridge.manage("nodes", "list", "--json"))
    return list(rows if isinstance(rows, list) else rows["nodes"])

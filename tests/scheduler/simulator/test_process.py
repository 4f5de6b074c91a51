from __future__ import annotations

import httpx

from tests.conftest import FakeNode


def test_a_node_answers_on_the_port_it_printed(fake_node: FakeNode) -> None:
    node = fake_node("llama3.2=2,qwen3:8b=5.2")
    answer = httpx.get(f"{node.url}/api/tags").json()
    assert [model["name"] for model in answer["models"]] == ["llama3.2:latest", "qwen3:8b"]


def test_a_chat_loads_the_model_and_streams_words(fake_node: FakeNode) -> None:
    node = fake_node()
    body = {
        "model": "llama3.2",
        "messages": [{"role": "user", "content": "say this"}],
        "options": {"num_predict": 3},
    }
    lines = httpx.post(f"{node.url}/api/chat", json=body).text.splitlines()
    assert len(lines) == 4
    assert '"content":" this"' in lines[1]
    assert '"done":true,"done_reason":"length"' in lines[-1]
    assert node.report()["loads_total"] == 1


def test_a_killed_node_is_gone(fake_node: FakeNode) -> None:
    node = fake_node()
    node.kill()
    assert not node.alive

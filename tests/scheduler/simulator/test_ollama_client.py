"""The official Python client against the fake node."""

from __future__ import annotations

from collections.abc import Iterator

import ollama
import pytest

from scheduler.simulator.process import NodeProcess
from tests.scheduler.simulator.conftest import SharedNode

pytestmark = pytest.mark.clients


@pytest.fixture
def node(shared_node: SharedNode) -> NodeProcess:
    return shared_node("llama3.2=2,qwen3:8b=5.2,nomic-embed-text=0.27", registry="mistral=4", pull_gbps=1000)


@pytest.fixture
def client(node: NodeProcess) -> Iterator[ollama.Client]:
    client = ollama.Client(host=node.url)
    yield client
    client.close()


HELLO = [{"role": "user", "content": "say hello"}]


def test_chat(client: ollama.Client) -> None:
    answer = client.chat(model="llama3.2", messages=HELLO, options={"num_predict": 3})
    assert answer.message.content == "say hello say"
    assert answer.done_reason == "length"


def test_chat_streamed(client: ollama.Client) -> None:
    chunks = list(client.chat(model="llama3.2", messages=HELLO, stream=True))
    assert chunks[-1].done
    assert chunks[-1].eval_count == len(chunks) - 1


def test_chat_with_a_python_function_as_tool(client: ollama.Client) -> None:
    def get_weather(city: str) -> str:
        """Tell the weather.

        Args:
          city: where
        """
        return city

    messages = [{"role": "user", "content": "use get_weather"}]
    answer = client.chat(model="qwen3:8b", messages=messages, tools=[get_weather])
    assert answer.message.tool_calls is not None
    assert answer.message.tool_calls[0].function.name == "get_weather"
    assert get_weather(**answer.message.tool_calls[0].function.arguments) == "word"


def test_thinking(client: ollama.Client) -> None:
    assert client.chat(model="qwen3:8b", messages=HELLO, think=True).message.thinking


def test_generate(client: ollama.Client) -> None:
    assert client.generate(model="llama3.2", prompt="one two").response.startswith("one two")
    parts = [part.response for part in client.generate(model="llama3.2", prompt="one two", stream=True)]
    assert "".join(parts).startswith("one two")


def test_embed(client: ollama.Client) -> None:
    answer = client.embed(model="nomic-embed-text", input=["a", "b"], dimensions=16)
    assert [len(vector) for vector in answer.embeddings] == [16, 16]
    assert len(client.embeddings(model="nomic-embed-text", prompt="a").embedding) == 768


def test_list_ps_and_show(client: ollama.Client) -> None:
    client.generate(model="llama3.2", prompt="x")
    assert "llama3.2:latest" in [model.model for model in client.list().models]
    (resident,) = client.ps().models
    assert resident.name == "llama3.2:latest"
    assert resident.size == resident.size_vram
    shown = client.show("llama3.2")
    assert shown.modelinfo is not None
    assert shown.modelinfo["llama.block_count"] == 28
    assert shown.capabilities == ["completion", "tools"]


def test_pull_copy_create_and_delete(client: ollama.Client) -> None:
    statuses = [part.status for part in client.pull("mistral", stream=True)]
    assert statuses[-1] == "success"
    client.copy("mistral", "mine")
    assert client.create(model="derived", from_="mine", system="Be brief").status == "success"
    assert client.show("derived").modelfile is not None
    client.delete("mine")
    assert "mine:latest" not in [model.model for model in client.list().models]


def test_an_error_has_its_status_and_text(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as caught:
        client.chat(model="nope", messages=HELLO)
    assert caught.value.status_code == 404


def test_an_error_in_mid_stream_raises(client: ollama.Client, node: NodeProcess) -> None:
    node.arm("error_mid_stream")
    with pytest.raises(ollama.ResponseError, match="unexpectedly stopped"):
        list(client.chat(model="llama3.2", messages=HELLO, stream=True))

"""The unmodified ollama package against a served bridge."""

from __future__ import annotations

from collections.abc import Iterator

import ollama
import pytest

from tests.bridge.served import HELLO, Served

pytestmark = pytest.mark.clients


@pytest.fixture
def client(served: Served) -> Iterator[ollama.Client]:
    with ollama.Client(host=served.bridge.url, headers={"Authorization": f"Bearer {served.key}"}) as client:
        yield client


def test_a_chat_is_answered_whole_and_streamed(client: ollama.Client) -> None:
    options = {"num_predict": 8}
    whole = client.chat("llama3.2", messages=HELLO, options=options)
    parts = list(client.chat("llama3.2", messages=HELLO, options=options, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert parts[-1].done
    assert parts[-1].eval_count == 8


def test_generate_embed_and_embeddings_are_answered(client: ollama.Client) -> None:
    assert client.generate("llama3.2", prompt="one two", options={"num_predict": 4}).response
    assert len(client.embed("nomic-embed-text", input=["a", "b"]).embeddings) == 2
    assert client.embeddings("nomic-embed-text", prompt="a").embedding


def test_models_are_listed_shown_and_seen_running(client: ollama.Client) -> None:
    assert "llama3.2:latest" in {model.model for model in client.list().models}
    assert client.show("llama3.2").modelinfo
    client.chat("llama3.2", messages=HELLO, options={"num_predict": 1})
    assert "llama3.2:latest" in {model.model for model in client.ps().models}


def test_a_key_in_the_path_serves_clients_that_send_no_header(served: Served) -> None:
    with ollama.Client(host=f"{served.bridge.url}/k/{served.key}") as client:
        assert client.chat("llama3.2", messages=HELLO, options={"num_predict": 2}).message.content


def test_loading_and_unloading_calls_are_answered_and_evict_nothing(
    client: ollama.Client, served: Served
) -> None:
    assert client.generate("llama3.2").done_reason == "load"
    assert client.generate("llama3.2", keep_alive=0).done_reason == "unload"
    assert "llama3.2:latest" in {model.model for model in client.ps().models}


def test_options_that_would_reload_the_model_reload_nothing(client: ollama.Client, served: Served) -> None:
    client.chat("llama3.2", messages=HELLO, options={"num_predict": 1})
    before = served.node.report()["reloads_total"]
    for options in ({"num_batch": 64}, {"num_gpu": 3}, {"use_mmap": False}, {"num_ctx": 1024}):
        client.chat("llama3.2", messages=HELLO, options={"num_predict": 1, **options}, keep_alive="1s")
    assert served.node.report()["reloads_total"] == before


def test_errors_are_raised_with_ollamas_text(client: ollama.Client, served: Served) -> None:
    with pytest.raises(ollama.ResponseError, match="not found") as missing:
        client.chat("lama3.2", messages=HELLO)
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="does not support"):
        client.embed("llama3.2", input="a")
    served.node.arm("eof_without_done", count=1)
    with pytest.raises(ollama.ResponseError):
        list(client.chat("llama3.2", messages=HELLO, stream=True, options={"num_predict": 30}))


def test_a_model_is_pulled_with_progress_and_deleted(client: ollama.Client, served: Served) -> None:
    client.copy("llama3.2", "mine")
    assert client.delete("mine").status == "success"

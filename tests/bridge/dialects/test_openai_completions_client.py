"""/v1/completions and /v1/embeddings as the official openai package sees them."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.bridge.dialects.exchange import Exchange, text


def create(exchange: Exchange, **fields: Any) -> Any:
    return exchange.openai().completions.create(**{"model": "m", "prompt": "Say hi"} | fields)


def test_a_whole_completion_has_text_reason_and_usage() -> None:
    answer = create(Exchange(whole=text("Hi.", done="stop")))
    assert answer.id == "cmpl-req1"
    assert answer.choices[0].text == "Hi."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 35


def test_a_stream_gives_the_text_then_the_reason_then_usage() -> None:
    exchange = Exchange(lines=[text("H"), text("i"), text(done="length")], heartbeats=1)
    chunks = list(create(exchange, stream=True, stream_options={"include_usage": True}))
    assert [chunk.choices[0].text for chunk in chunks[:-1]] == ["H", "i", ""]
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage.completion_tokens == 9
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_echo_puts_the_prompt_before_the_text() -> None:
    exchange = Exchange(whole=text(" there", done="stop"), lines=[text(" there"), text(done="stop")])
    assert create(exchange, echo=True).choices[0].text == "Say hi there"
    assert "".join(c.choices[0].text for c in create(exchange, echo=True, stream=True)) == "Say hi there"


def test_logprobs_have_the_four_lists_of_this_route() -> None:
    tokens = [
        {"token": "H", "logprob": -0.5, "top_logprobs": [{"token": "H", "logprob": -0.5}]},
        {"token": "i", "logprob": -0.25},
    ]
    exchange = Exchange(whole=text("Hi", done="stop", logprobs=tokens), lines=[text("Hi", logprobs=tokens)])
    exchange.lines.append(text(done="stop"))
    asked = {"logprobs": 2, "echo": True}
    for found in (
        create(exchange, **asked).choices[0].logprobs,
        next(c.choices[0].logprobs for c in create(exchange, **asked, stream=True) if c.choices[0].logprobs),
    ):
        assert found.tokens == ["H", "i"]
        assert found.token_logprobs == [-0.5, -0.25]
        assert found.top_logprobs == [{"H": -0.5}, {}]
        assert found.text_offset == [6, 7]
    assert exchange.body["top_logprobs"] == 2


def test_a_stream_that_breaks_raises_in_the_client() -> None:
    with pytest.raises(openai.APIError, match="out of memory"):
        list(create(Exchange(lines=[text("H"), {"error": "out of memory"}]), stream=True))


VECTORS = {"model": "m", "embeddings": [[0.5, -1.0], [0.25, 3.5]], "prompt_eval_count": 7}


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_embeddings_come_as_numbers_whatever_the_encoding(form: str | None) -> None:
    exchange = Exchange(whole=VECTORS)
    asked: dict[str, Any] = {"encoding_format": form} if form else {}  # the client asks for base64 by itself
    answer = exchange.openai().embeddings.create(model="m", input=["a", "b"], **asked)
    assert exchange.seen is not None
    assert exchange.seen.encoding_format == (form or "base64")
    if form != "base64":
        assert [one.embedding for one in answer.data] == VECTORS["embeddings"]
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.usage.total_tokens == 7


def test_base64_is_little_endian_32_bit_floats() -> None:
    answer = (
        Exchange(whole=VECTORS).openai().embeddings.create(model="m", input="a", encoding_format="base64")
    )
    assert answer.data[0].embedding == "AAAAPwAAgL8="  # 0000003f 000080bf


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2]], [], {}])
def test_what_is_no_text_cannot_be_embedded(given: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="input"):
        Exchange().openai().embeddings.create(model="m", input=given)


@pytest.mark.parametrize("vectors", [[["x"]], [None], None, ["abc"]])
def test_embeddings_that_are_no_numbers_are_the_nodes_fault(vectors: Any) -> None:
    with pytest.raises(Exception, match="the node"):
        Exchange(whole={"embeddings": vectors}).openai().embeddings.create(model="m", input="a")

"""What becomes of each field of /v1/completions and /v1/embeddings."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.dialects import openai_completions, openai_embeddings
from bridge.dialects.inner import BadRequest, Inner


def complete(**fields: Any) -> Inner:
    return openai_completions.read(orjson.dumps({"model": "m", "prompt": "hi"} | fields))


def embed(**fields: Any) -> Inner:
    return openai_embeddings.read(orjson.dumps({"model": "m", "input": "hi"} | fields))


@pytest.mark.parametrize("given", ["hi", ["hi"]])
def test_a_prompt_is_a_text_or_a_list_of_one(given: Any) -> None:
    assert complete(prompt=given).body["prompt"] == "hi"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["a", "b"], "prompt has several texts"),
        ([1, 2], "token arrays are not supported"),
        ({}, "must be a string"),
    ],
)
def test_other_prompts_are_refused(given: Any, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        complete(prompt=given)


@pytest.mark.parametrize("given", ["", None, [""]])
def test_an_empty_prompt_loads_as_it_does_on_a_node(given: Any) -> None:
    assert complete(prompt=given).purpose == "load"
    assert complete().purpose == "generate"


def test_a_suffix_needs_a_model_that_inserts() -> None:
    inner = complete(suffix="end")
    assert inner.body["suffix"] == "end"
    assert inner.needs == {"completion", "insert"}
    assert inner.prompt_bytes == 5
    assert complete(suffix="").needs == {"completion"}


def test_logprobs_are_a_count_here() -> None:
    body = complete(logprobs=3).body
    assert (body["logprobs"], body["top_logprobs"]) == (True, 3)
    assert "logprobs" not in complete(logprobs=0).body
    with pytest.raises(BadRequest, match="logprobs must be between 0 and 20"):
        complete(logprobs=21)


@pytest.mark.parametrize("field", ["n", "best_of"])
def test_more_than_one_answer_is_refused(field: str) -> None:
    assert complete(**{field: 1}).body
    with pytest.raises(BadRequest, match=f"{field} must be 1"):
        complete(**{field: 2})


def test_bounds_and_sampling_become_options() -> None:
    inner = complete(max_tokens=0, temperature=0.5, stop=["x"], stream=True)
    assert inner.body["options"] == {"num_predict": 1, "temperature": 0.5, "stop": ["x"]}
    assert inner.body["stream"] is True


def test_embeddings_take_one_text_or_several() -> None:
    assert embed(input="a").body == {"input": ["a"]}
    inner = embed(input=["ab", "c"], dimensions=8)
    assert inner.body == {"input": ["ab", "c"], "dimensions": 8}
    assert (inner.inputs, inner.prompt_bytes, inner.needs) == (2, 3, {"embedding"})
    assert inner.stream is False


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"input": [1, 2]}, r"input\[0\] must be a string, not a number; token arrays are not supported"),
        ({"input": []}, "input must be a string or an array of strings"),
        ({"input": None}, "input must be a string or an array of strings"),
        ({"dimensions": 0}, "dimensions must be at least 1"),
        ({"encoding_format": "hex"}, "encoding_format takes float or base64"),
    ],
)
def test_what_cannot_be_embedded_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        embed(**fields)


@pytest.mark.parametrize(("given", "form"), [(None, "float"), ("float", "float"), ("BASE64", "base64")])
def test_the_encoding_is_kept_for_the_answer(given: str | None, form: str) -> None:
    assert embed(encoding_format=given).encoding_format == form

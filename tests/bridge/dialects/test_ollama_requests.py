"""What becomes of each field of Ollama's native requests."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.dialects import ollama
from bridge.dialects.inner import BadRequest, Inner

PNG = "iVBORw0KGgo="
WAV = "UklGRiQAAABXQVZFZm10IA=="


def chat(**fields: Any) -> Inner:
    return ollama.chat(orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]} | fields))


def generate(**fields: Any) -> Inner:
    return ollama.generate(orjson.dumps({"model": "m", "prompt": "hi"} | fields))


def embed(**fields: Any) -> Inner:
    return ollama.embed(orjson.dumps({"model": "m", "input": "hi"} | fields))


def test_a_request_streams_unless_it_says_no() -> None:
    assert chat().stream is True
    assert chat().body["stream"] is True
    assert chat(stream=False).stream is False
    assert generate(stream=None).stream is True


def test_embeddings_never_stream() -> None:
    assert embed(stream=True).stream is False
    assert "stream" not in embed(stream=True).body


def test_the_model_stays_as_the_client_wrote_it() -> None:
    assert chat(model=" Llama3.2 ").model == "Llama3.2"


def test_what_the_relay_decides_is_taken_out_of_the_body() -> None:
    inner = chat(
        keep_alive="5m", shift=False, options={"num_ctx": 8192, "num_gpu": 3, "use_mmap": True, "top_k": 4}
    )
    assert set(inner.body) == {"messages", "stream", "options"}
    assert inner.body["options"] == {"top_k": 4}
    assert inner.num_ctx == 8192
    assert inner.keep_alive_s == 300
    assert inner.keep_alive_given


@pytest.mark.parametrize(
    "key", ["MODEL", "Options", "Keep_Alive", "\u212aeep_alive", "option\u017f", "Shift", "STREAM"]
)
def test_a_field_in_other_letters_cannot_smuggle_what_the_bridge_decides(key: str) -> None:
    """Go's JSON reader takes a name in any case, and the last one wins."""
    assert key not in chat(**{key: "other"}).body
    _, body = ollama.named(orjson.dumps({"model": "m", key: "other"}))
    assert key not in body


def test_unknown_fields_pass() -> None:
    assert chat(truncate=False, brand_new={"a": 1}).body["brand_new"] == {"a": 1}
    assert chat(truncate=False).body["truncate"] is False


def test_zero_tokens_become_one() -> None:
    inner = chat(options={"num_predict": 0})
    assert inner.body["options"]["num_predict"] == 1
    assert inner.max_tokens == 1


@pytest.mark.parametrize(("asked", "bound"), [(-1, None), (-2, None), (7, 7), (7.0, 7)])
def test_the_bound_of_the_output_is_known(asked: float, bound: int | None) -> None:
    inner = generate(options={"num_predict": asked})
    assert inner.max_tokens == bound
    assert inner.body["options"]["num_predict"] == asked


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_ctx": "big"}, 'option "num_ctx" must be of type integer'),
        ({"num_predict": True}, 'option "num_predict" must be of type integer'),
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"use_mmap": 1}, 'option "use_mmap" must be of type boolean'),
        ({"stop": "x"}, 'option "stop" must be of type array'),
        ({"stop": [1]}, 'option "stop" must be of an array of strings'),
        ({"seed": 1e30}, 'option "seed" must be of type integer'),
        ([], "options must be an object, not an array"),
    ],
)
def test_options_of_a_wrong_type_are_refused_in_ollamas_words(options: Any, says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        chat(options=options)
    assert caught.value.message == says
    assert caught.value.status == 400


def test_options_that_are_null_or_unknown_do_no_harm() -> None:
    assert chat(options={"temperature": None, "mirostat": 2}).body["options"] == {"mirostat": 2}


@pytest.mark.parametrize(
    ("read", "fields"),
    [
        (chat, {"messages": []}),
        (chat, {"messages": None}),
        (generate, {"prompt": ""}),
        (generate, {"prompt": None}),
    ],
)
def test_nothing_to_answer_loads_and_with_keep_alive_zero_unloads(read: Any, fields: dict[str, Any]) -> None:
    assert read(**fields).purpose == "load"
    assert read(**fields).stream is False
    assert read(**fields, keep_alive="10m").purpose == "load"
    for zero in (0, 0.0, "0", "0s", "-0s"):
        assert read(**fields, keep_alive=zero).purpose == "unload"
    assert read(keep_alive=0).purpose == "generate"


@pytest.mark.parametrize("given", ["", [], None])
def test_no_input_to_embed_loads(given: Any) -> None:
    assert embed(input=given).purpose == "load"
    assert embed(input=given).inputs == 0
    assert ollama.embeddings(b'{"model":"m","keep_alive":0}').purpose == "unload"


def test_needs_follow_from_what_is_asked() -> None:
    assert chat().needs == {"completion"}
    assert chat(think=True).needs == {"completion", "thinking"}
    assert chat(think="low").needs == {"completion", "thinking"}
    assert chat(think=False).needs == {"completion"}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert chat(tools=[tool]).needs == {"completion", "tools"}
    assert chat(tools=[]).needs == {"completion"}
    assert generate(suffix="x").needs == {"completion", "insert"}
    assert embed().needs == {"embedding"}
    assert ollama.embeddings(b'{"model":"m","prompt":"x"}').needs == {"embedding"}


def test_images_need_vision_and_sounds_need_audio() -> None:
    inner = generate(images=[PNG, PNG])
    assert inner.needs == {"completion", "vision"}
    assert inner.images == 2
    heard = chat(messages=[{"role": "user", "content": "what?", "images": [WAV]}])
    assert heard.needs == {"completion", "audio"}
    assert heard.body["messages"][0]["images"] == [WAV]


def test_line_ends_inside_an_image_are_taken_out() -> None:
    assert generate(images=["iVBO\r\nRw0KGgo=\n"]).body["images"] == [PNG]


@pytest.mark.parametrize("image", ["not base64!", "", "é", "abc"])
def test_an_image_that_is_no_base64_is_refused_before_it_takes_a_seat(image: str) -> None:
    with pytest.raises(BadRequest, match=r"messages\[0\].images\[0\] must be base64 data"):
        chat(messages=[{"role": "user", "content": "x", "images": [image]}])


def test_prompt_bytes_count_what_becomes_tokens() -> None:
    assert chat().prompt_bytes == 2
    assert chat(messages=[{"role": "user", "content": "€"}]).prompt_bytes == 3
    assert generate(system="abc", context=[1, 2]).prompt_bytes == 2 + 3 + 8
    assert embed(input=["ab", "c"]).prompt_bytes == 3
    assert embed(input=["ab", "c"]).inputs == 2
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    spoken = {"role": "assistant", "content": "ab", "thinking": "c", "tool_calls": [call]}
    assert chat(messages=[spoken]).prompt_bytes == 3 + len('{"a":1}')


@pytest.mark.parametrize("think", ["extreme", 1, []])
def test_think_takes_a_boolean_or_a_level(think: Any) -> None:
    with pytest.raises(BadRequest, match="think"):
        chat(think=think)


@pytest.mark.parametrize("wanted", ["json", {"type": "object"}, "", None])
def test_a_format_passes(wanted: Any) -> None:
    assert chat(format=wanted).body["format"] == wanted


@pytest.mark.parametrize("wanted", ["yaml", 5, ["json"]])
def test_another_format_is_refused_in_ollamas_words(wanted: Any) -> None:
    with pytest.raises(BadRequest, match='invalid format: expected "json" or a valid JSON Schema object'):
        chat(format=wanted)


@pytest.mark.parametrize("count", [-1, 21])
def test_top_logprobs_have_bounds(count: int) -> None:
    with pytest.raises(BadRequest, match="top_logprobs must be between 0 and 20"):
        generate(logprobs=True, top_logprobs=count)


@pytest.mark.parametrize("extra", [{"template": "t"}, {"system": "s"}, {"context": [1]}])
def test_raw_mode_stands_alone(extra: dict[str, Any]) -> None:
    assert generate(raw=True).body["raw"] is True
    with pytest.raises(BadRequest, match="raw mode does not support template, system, or context"):
        generate(raw=True, **extra)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"messages": "hi"}, "messages must be an array, not a string"),
        ({"messages": ["hi"]}, r"messages\[0\] must be an object"),
        ({"messages": [{"content": "hi"}]}, r"messages\[0\].role is required"),
        (
            {"messages": [{"role": "user", "content": []}]},
            r"messages\[0\].content must be a string, not an array",
        ),
        ({"messages": [{"role": "user", "images": "x"}]}, r"messages\[0\].images must be an array"),
        ({"messages": [{"role": "user", "images": [1]}]}, r"messages\[0\].images\[0\] must be a string"),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
                ]
            },
            r"messages\[0\].tool_calls\[0\].function.arguments must be an object",
        ),
        ({"tools": [{"type": "function"}]}, r"tools\[0\].function.name is required"),
        ({"stream": "yes"}, "stream must be a boolean, not a string"),
        ({"keep_alive": []}, "keep_alive takes seconds"),
        ({"keep_alive": "5 minutes"}, 'time: invalid duration "5 minutes"'),
    ],
)
def test_a_wrong_type_is_refused_by_the_name_of_its_field(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says) as caught:
        chat(**fields)
    assert caught.value.param is not None


@pytest.mark.parametrize("given", [5, {}, [1], ["a", None]])
def test_embed_takes_text_only(given: Any) -> None:
    with pytest.raises(BadRequest, match="invalid input type"):
        embed(input=given)


def test_a_call_about_a_model_may_use_the_old_word_name() -> None:
    assert ollama.named(b'{"name":"m","verbose":true}') == ("m", {"model": "m", "verbose": True})
    assert ollama.named(b'{"model":"m","name":"other"}') == ("m", {"model": "m"})
    with pytest.raises(BadRequest, match="model is required"):
        ollama.named(b"{}")

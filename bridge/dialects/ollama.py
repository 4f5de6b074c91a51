"""Ollama's native requests: checked, counted, and otherwise left as they are."""

from __future__ import annotations

from typing import Any

from bridge.dialects import durations, fields, media, options, thinking
from bridge.dialects.conversation import json_size, size
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest, Dialect, Inner, Purpose, Route
from bridge.dialects.ollama_reply import Native, emptied, failure

__all__ = ["CHAT", "EMBED", "EMBEDDINGS", "GENERATE", "emptied", "named"]

_DECIDED = ("model", "name", "keep_alive", "shift", "options", "stream")  # by the relay, or read apart


def chat(payload: bytes) -> Inner:
    """POST /api/chat. No messages: load or unload."""
    body = fields.parse(payload)
    messages = fields.mappings(body, "messages") or []
    inner = _inner("chat", body, empty=not messages)
    inner.needs |= {"completion"}
    for at, message in enumerate(messages):
        _count_message(inner, message, f"messages[{at}].")
    tools = fields.mappings(body, "tools")
    for at, tool in enumerate(tools or ()):
        function = fields.mapping(tool, "function", f"tools[{at}].") or {}
        fields.required(
            fields.string(function, "name", f"tools[{at}].function."), f"tools[{at}].function.name"
        )
    if tools:
        inner.needs |= {"tools"}
        inner.prompt_bytes += json_size(tools)
    _check_answer(inner, body)
    return inner


def generate(payload: bytes) -> Inner:
    """POST /api/generate. No prompt: load or unload."""
    body = fields.parse(payload)
    prompt = fields.string(body, "prompt") or ""
    inner = _inner("generate", body, empty=not prompt)
    inner.needs |= {"completion"}
    texts = {key: fields.string(body, key) or "" for key in ("suffix", "system", "template")}
    if texts["suffix"]:
        inner.needs |= {"insert"}
    context = fields.array(body, "context") or []
    if not all(type(token) is int for token in context):
        raise BadRequest("context must be an array of whole numbers", param="context")
    if fields.boolean(body, "raw") and (texts["template"] or texts["system"] or context):
        raise BadRequest("raw mode does not support template, system, or context", param="raw")
    _count_images(inner, body, "")
    inner.prompt_bytes = (
        size(prompt) + sum(map(size, texts.values())) + 4 * len(context)
    )  # 4: bytes per token
    _check_answer(inner, body)
    return inner


def embed(payload: bytes) -> Inner:
    """POST /api/embed. No input: load or unload."""
    body = fields.parse(payload)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadRequest("invalid input type: input takes a string or an array of strings", param="input")
    inner = _inner("embed", body, empty=given in (None, "", []))
    fields.integer(body, "dimensions")
    fields.boolean(body, "truncate")
    return _embedding(inner, texts)


def embeddings(payload: bytes) -> Inner:
    """POST /api/embeddings, the older form. No prompt: load or unload."""
    body = fields.parse(payload)
    prompt = fields.string(body, "prompt") or ""
    return _embedding(_inner("embeddings", body, empty=not prompt), [prompt])


def named(payload: bytes) -> tuple[str, Object]:
    """The model and the body of a call about it (show, pull, create, delete); `name` is the old word."""
    body = fields.parse(payload)
    name = fields.string(body, "model") or fields.string(body, "name") or ""
    name = fields.required(name.strip(), "model")
    rest = plain(body)
    rest.pop("name", None)  # said once, so that what was checked is what the node reads
    return name, rest | {"model": name}


def plain(body: Object) -> Object:
    """The fields whose names a node reads as we do.

    Go matches field names in any case, by Unicode's folding, and takes the last: "MODEL" or "\u212aeep_alive"
    behind our own would win over it. Lower-case ASCII names match nothing but themselves.
    """
    return {key: value for key, value in body.items() if key.isascii() and key == key.lower()}


def _inner(route: Route, body: Object, *, empty: bool) -> Inner:
    asked = options.read(body)
    rest = {key: value for key, value in plain(body).items() if key not in _DECIDED}
    if asked.sampling:
        rest["options"] = asked.sampling
    streams = route in ("chat", "generate") and fields.boolean(body, "stream") is not False
    keep_alive_s = durations.keep_alive(body)
    purpose: Purpose = "generate"
    if empty:
        purpose = "unload" if keep_alive_s == 0 else "load"
    # A node answers these with one object even where a stream was asked for.
    streams = streams and not empty and not body.get("_debug_render_only")
    if route in ("chat", "generate"):
        rest["stream"] = streams
    return Inner(
        route=route,
        model=fields.model(body),
        stream=streams,
        body=rest,
        purpose=purpose,
        max_tokens=asked.max_tokens,
        num_ctx=asked.num_ctx,
        keep_alive_s=keep_alive_s,
    )


def _embedding(inner: Inner, texts: list[str]) -> Inner:
    inner.needs |= {"embedding"}
    inner.inputs = len(texts) if inner.purpose == "generate" else 0
    inner.prompt_bytes = sum(map(size, texts))
    return inner


def _count_message(inner: Inner, message: Object, where: str) -> None:
    fields.required(fields.string(message, "role", where), f"{where}role")
    for key in ("content", "thinking"):
        inner.prompt_bytes += size(fields.string(message, key, where) or "")
    fields.string(message, "tool_name", where)
    _count_images(inner, message, where)
    for at, call in enumerate(fields.mappings(message, "tool_calls", where) or ()):
        function = fields.mapping(call, "function", f"{where}tool_calls[{at}].") or {}
        inside = f"{where}tool_calls[{at}].function."
        fields.required(fields.string(function, "name", inside), f"{inside}name")
        inner.prompt_bytes += json_size(fields.mapping(function, "arguments", inside))


def _count_images(inner: Inner, of: dict[str, Any], where: str) -> None:
    images = fields.strings(of, "images", where) or []
    for at, image in enumerate(images):
        images[at] = media.base64(image, f"{where}images[{at}]")
        inner.needs |= {media.capability(image)}
    inner.images += len(images)


def _check_answer(inner: Inner, body: Object) -> None:
    """What both text routes say about the answer: think, format, logprobs."""
    if thinking.native(body):
        inner.needs |= {"thinking"}
    wanted = body.get("format")
    if wanted not in (None, "", "json") and not isinstance(wanted, dict):
        raise BadRequest('invalid format: expected "json" or a valid JSON Schema object', param="format")
    fields.boolean(body, "logprobs")
    if not 0 <= (fields.integer(body, "top_logprobs") or 0) <= 20:
        raise BadRequest("top_logprobs must be between 0 and 20", param="top_logprobs")
    for key in ("truncate", "shift", "raw", "_debug_render_only"):
        fields.boolean(body, key)


CHAT = Dialect(name="ollama-chat", read=chat, encoder=Native, failure=failure)
GENERATE = Dialect(name="ollama-generate", read=generate, encoder=Native, failure=failure)
EMBED = Dialect(name="ollama-embed", read=embed, encoder=Native, failure=failure)
EMBEDDINGS = Dialect(name="ollama-embeddings", read=embeddings, encoder=Native, failure=failure)

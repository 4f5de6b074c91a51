"""Content of OpenAI's messages: a string, or parts of text, images and audio."""

from __future__ import annotations

from bridge.dialects import fields, media
from bridge.dialects.fields import Object
from bridge.dialects.inner import BadRequest

# Part type -> the field that holds its text. Chat completions and responses name the same things differently.
_TEXTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "summary_text": "text",
    "reasoning_text": "text",
    "refusal": "refusal",
}


def read(content: object, where: str) -> tuple[str, list[str]]:
    """Text and base64 media of a message's content. Parts of text are joined by line ends."""
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list):
        raise fields.refuse(where, "a string or an array of parts", content)
    texts: list[str] = []
    images: list[str] = []
    for at, part in enumerate(content):
        inside = f"{where}[{at}]"
        if not isinstance(part, dict):
            raise fields.refuse(inside, "an object", part)
        kind = fields.string(part, "type", f"{inside}.") or ""
        if kind in _TEXTS:
            key = _TEXTS[kind]
            text = fields.string(part, key, f"{inside}.")
            if text is None:
                raise BadRequest(f"{inside}.{key} is required", param=f"{inside}.{key}")
            texts.append(text)
        else:
            images.append(_medium(part, kind, inside))
    return "\n".join(texts), images


def _medium(part: Object, kind: str, where: str) -> str:
    if kind in ("image_url", "input_image"):
        return _image(part, where)
    if kind == "input_audio":
        audio = fields.mapping(part, "input_audio", f"{where}.") or {}
        data = fields.string(audio, "data", f"{where}.input_audio.")
        return media.base64(fields.required(data, f"{where}.input_audio.data"), f"{where}.input_audio.data")
    if kind in ("file", "input_file"):
        raise BadRequest(f"{where} is a file, and files are not supported; send its text", param=where)
    known = "text, image_url or input_audio (input_text and input_image on /v1/responses)"
    raise BadRequest(f"{where}.type takes {known}", param=f"{where}.type")


def _image(part: Object, where: str) -> str:
    holder = part.get("image_url")
    path = f"{where}.image_url"
    if isinstance(holder, dict):
        holder, path = holder.get("url"), f"{path}.url"
    if holder is None and part.get("file_id"):
        raise BadRequest(f"{where}.file_id is not supported: the bridge stores no files", param=where)
    if not isinstance(holder, str):
        raise fields.refuse(path, "a data URI", holder)
    return media.from_data_uri(holder, path)

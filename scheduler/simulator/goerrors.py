"""The words in which Go's encoding/json complains of a text that is not JSON."""

from __future__ import annotations

import json

# Python's complaint -> what Go was looking for.
_LOOKING_FOR = {
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Expecting value": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
}
_LITERALS = ("true", "false", "null")


def first_value(data: bytes) -> object:
    """The first JSON value of a body; Go's decoder does not look at what follows it.

    Raises ValueError with Go's words.
    """
    text = data.decode("latin-1").lstrip(" \t\r\n")
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(_complaint(text, error)) from None
    return json.loads(json.dumps(value).encode("latin-1").decode("utf-8", "replace"))


def _complaint(text: str, error: json.JSONDecodeError) -> str:
    position = error.pos
    if error.msg.startswith("Illegal trailing comma"):
        position = len(text) - len(text[position + 1 :].lstrip())
    if (wrong := _wrong_literal(text[position:])) is not None:
        return wrong
    if position >= len(text) or error.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    looking_for = _LOOKING_FOR.get(error.msg) or _after(text[:position])
    return f"invalid character {quoted(text[position])} {looking_for}"


def _after(before: str) -> str:
    """Where a comma was missing: in an object or in an array."""
    opened: list[str] = []
    in_string = False
    for previous, character in zip(" " + before, before, strict=False):
        if character == '"' and previous != "\\":
            in_string = not in_string
        elif not in_string and character in "{[":
            opened.append(character)
        elif not in_string and character in "}]":
            opened.pop()
    return "after object key:value pair" if opened[-1:] == ["{"] else "after array element"


def _wrong_literal(rest: str) -> str | None:
    """`nonsense` begins like null, so Go complains of its second letter."""
    literal = next((word for word in _LITERALS if rest[:1] == word[0]), None)
    if literal is None or rest.startswith(literal):
        return None
    at = next(i for i, letter in enumerate(literal) if rest[i : i + 1] != letter)
    if at >= len(rest):
        return "unexpected EOF"
    return f"invalid character {quoted(rest[at])} in literal {literal} (expecting {quoted(literal[at])})"


def quoted(character: str) -> str:
    """A character as Go quotes it in these errors."""
    if character == "'":
        return "'\\''"
    if character == '"':
        return "'\"'"
    return f"'{character}'" if character.isprintable() else repr(character)

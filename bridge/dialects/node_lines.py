"""What a node sends: a line of its stream, or a whole reply."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.dialects.inner import NodeFault


def parse(line: bytes) -> dict[str, Any]:
    """The line's object. Raises NodeFault for an error line and for what is no JSON object."""
    try:
        reply = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise NodeFault("the node sent a line that is not JSON", kind="node_garbage") from None
    if not isinstance(reply, dict):
        raise NodeFault("the node sent a line that is not a JSON object", kind="node_garbage")
    if "error" in reply:
        raise NodeFault(_text(reply["error"]), kind="node_error")
    return reply


def plain(reply: dict[str, Any]) -> str:
    """The text of a chat line that has text and nothing else to say; empty for every other line."""
    try:
        message = reply["message"]
        text = message["content"]
        if (
            type(text) is str
            and reply["done"] is False
            and "thinking" not in message
            and "tool_calls" not in message
            and "logprobs" not in reply
        ):
            return text
    except (KeyError, TypeError):
        pass
    return ""


def dumps(value: object) -> bytes:
    """JSON of something that a node sent. Raises NodeFault where it is nested deeper than the writer goes."""
    try:
        return orjson.dumps(value)
    except TypeError:
        raise NodeFault("the node sent JSON that is nested too deeply", kind="node_garbage") from None


def message(reply: dict[str, Any]) -> dict[str, Any]:
    """The message of a chat line, empty where there is none."""
    found = reply.get("message")
    return found if isinstance(found, dict) else {}


def text(of: dict[str, Any], key: str) -> str:
    """The string under the key, empty where there is none."""
    value = of.get(key)
    return value if isinstance(value, str) else ""


def _text(error: object) -> str:
    if isinstance(error, dict):  # a body of llama-server that the node passed on
        error = error.get("message")
    return error if isinstance(error, str) and error else "the node reported an error without saying which"

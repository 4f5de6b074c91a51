"""Where a conversation was served last: its node still holds the prefix, and need not read it again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from bridge.dialects.inner import Inner

MOST = 20_000  # conversations remembered; the one silent longest goes first


class Affinity:
    """Conversation to node. A hint only: the board takes it while that node has a free slot."""

    def __init__(self, most: int = MOST) -> None:
        self._nodes: OrderedDict[int, str] = OrderedDict()
        self._most = most

    def node(self, conversation: int) -> str | None:
        return self._nodes.get(conversation)

    def served(self, conversation: int, node: str) -> None:
        self._nodes[conversation] = node
        self._nodes.move_to_end(conversation)
        if len(self._nodes) > self._most:
            self._nodes.popitem(last=False)


def conversation_of(account: str, model: str, session: str, inner: Inner) -> int:
    """What stays the same from turn to turn: the session that the app names, or else how it began.

    The system text and the first message are sent again with every turn, so their hash is the conversation's.
    """
    if session:
        return hash((account, model, session))
    messages = inner.body.get("messages")
    beginning = messages[:2] if isinstance(messages, list) else [inner.body.get("prompt")]
    return hash((account, model, *map(_text, beginning)))


def _text(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else message
    return content if isinstance(content, str) else ""

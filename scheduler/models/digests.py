"""Which digest a model's name means when nodes hold different ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A model as one node holds it."""

    node: str
    digest: str
    modified_at: datetime | None


def canonical(copies: Iterable[Copy]) -> str | None:
    """The digest that most nodes hold; among equals the one modified last. None without copies.

    Nodes with another digest hold another model under the same name: they are not interchangeable.
    """
    copies = list(copies)
    holders = Counter(copy.digest for copy in copies)
    newest = dict.fromkeys(holders, LONG_AGO)
    for copy in copies:
        newest[copy.digest] = max(newest[copy.digest], copy.modified_at or LONG_AGO)
    return max(holders, key=lambda digest: (holders[digest], newest[digest], digest), default=None)

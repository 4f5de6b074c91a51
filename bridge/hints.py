"""What an app says of its own future in headers: its conversation, and the models it will ask for next.

Advice, not a command: what cannot be used is left out and named in `X-Bridge-Next-Model-Ignored`, since a
request must not fail over a wrong word about another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from scheduler.policy.hints import MOST_SAID

if TYPE_CHECKING:
    from bridge.catalogue import Catalogue
    from bridge.grants import Grant

SESSION_HEADER = b"x-bridge-session"
NEXT_HEADER = b"x-bridge-next-model"
LONGEST = 1024  # bytes of the header that are read
LONGEST_ECHO = 200  # characters that the answer's header repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the headers say; empty where they say nothing."""

    session: str = ""  # a hash: what an app calls its conversations is its own affair
    models: tuple[str, ...] = ()  # catalogue names, in order
    ignored: str = ""


NOTHING = Told()


def told(headers: Iterable[tuple[bytes, bytes]], catalogue: Catalogue, grant: Grant) -> Told:
    """Read both headers in one pass. Most requests carry neither."""
    session = following = b""
    for name, value in headers:
        if name == SESSION_HEADER:
            session = value
        elif name == NEXT_HEADER:
            following = following + b"," + value if following else value
    if not session and not following:
        return NOTHING
    models, ignored = next_models(following, catalogue, grant) if following else ((), "")
    hashed = blake2b(session, digest_size=8).hexdigest() if session else ""
    return Told(session=hashed, models=models, ignored=ignored)


def next_models(value: bytes, catalogue: Catalogue, grant: Grant) -> tuple[tuple[str, ...], str]:
    """The models that a header names, and what of it is ignored: names beyond the first few, unknown ones and
    those that the key may not use, told alike, so that nobody learns what there is."""
    models: list[str] = []
    ignored: list[str] = []
    names = (each.strip() for each in value[:LONGEST].decode("latin-1").split(","))
    for name in filter(None, names):
        entry = catalogue.resolve(name)
        usable = entry is not None and (grant.may_use(entry.name) or grant.may_use(entry.listed))
        if entry is not None and usable and len(models) < MOST_SAID:
            models.append(entry.name)
        else:
            ignored.append(name)
    return tuple(models), printable(", ".join(ignored))


def printable(text: str) -> str:
    """As much of a client's text as a header of ours may carry."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:LONGEST_ECHO]

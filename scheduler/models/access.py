"""What a node behind a reverse proxy asks for on every call, and how its row keeps it: sealed.

Sealed is encrypted and authenticated (Fernet), under a key made from BRIDGE_NODE_SECRET, which is not in the
database: a stolen row tells nothing, and an altered one is an error. `cryptography` takes 50 ms to import, so
only who has something sealed imports it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.core.exceptions import ValidationError

NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110, a token
VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,4000}[\x21-\x7e])?")
# Framing, routing and what the bridge itself says of a body.
OURS = frozenset(
    {
        *("host", "connection", "content-length", "content-type", "transfer-encoding", "te", "trailer"),
        *("upgrade", "expect", "keep-alive", "proxy-connection", "accept", "accept-encoding"),
    }
)
MOST_HEADERS = 20
MOST_AUTHORITY = 65_536  # characters
UNREADABLE = (
    "its headers cannot be unsealed: BRIDGE_NODE_SECRET is not the one that they were sealed with. Give the"
    " old one as BRIDGE_OLD_NODE_SECRETS, or enter them again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """`headers` go with every call; `authority` (PEM) signed the node's certificate, and no other counts."""

    headers: tuple[tuple[str, str], ...] = ()
    authority: str = ""  # empty: the authorities that this machine trusts
    fault: str = ""  # why it is not known: then the node is not called at all

    @property
    def names(self) -> tuple[str, ...]:
        """The headers' names, which are no secret."""
        return tuple(name for name, _ in self.headers)

    def __repr__(self) -> str:
        return f"Access(headers={list(self.names)}, authority={bool(self.authority)}, fault={self.fault!r})"


OPEN = Access()


def access_of(lines: str, authority: str) -> Access:
    """From what an operator enters: `Name: value` on each line, and certificates. Raises ValidationError."""
    return Access(headers=tuple(_headers(lines.splitlines())), authority=_authority(authority))


def _headers(lines: Iterable[str]) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    for line in (line.strip() for line in lines):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line:
            continue
        if not colon or not NAME.fullmatch(name) or not VALUE.fullmatch(value):
            raise ValidationError("Write each header on a line of its own, as Name: value, in plain ASCII.")
        if name.lower() in OURS:
            raise ValidationError(f"{name} is set by the bridge itself.")
        if name.lower() in (known.lower() for known, _ in headers):
            raise ValidationError(f"{name} stands there twice.")
        headers.append((name, value))
    if len(headers) > MOST_HEADERS:
        raise ValidationError(f"At most {MOST_HEADERS} headers.")
    return headers


def _authority(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    if len(text) > MOST_AUTHORITY or "PRIVATE KEY" in text:
        raise ValidationError("Give the authority's certificate alone, and never a private key.")
    if not signers(text):
        raise ValidationError("This is no certificate: give PEM, from -----BEGIN CERTIFICATE----- on.")
    return text + "\n"


def ends_at(authority: str) -> datetime | None:
    """When the first of the certificates ends; None where there is none."""
    from scheduler.models import sealing

    return min((end for _, end in sealing.certificates(authority)), default=None)


def signers(authority: str) -> list[str]:
    """The subjects of the certificates."""
    from scheduler.models import sealing

    return [subject for subject, _ in sealing.certificates(authority)]


def seal(access: Access) -> str:
    """As the row keeps it; empty for a node that asks for nothing."""
    if access == OPEN:
        return ""
    from scheduler.models import sealing

    plain = json.dumps({"headers": access.headers, "authority": access.authority})
    return sealing.sealed(plain, tuple(settings.NODE_SECRETS))


def unseal(text: str) -> Access:
    """What `seal` was given; an Access with a fault where no secret fits or the text was altered."""
    if not text:
        return OPEN
    from scheduler.models import sealing

    try:
        plain = json.loads(sealing.opened(text, tuple(settings.NODE_SECRETS)))
    except ValueError:
        return Access(fault=UNREADABLE)
    headers = tuple((name, value) for name, value in plain["headers"])
    return Access(headers=headers, authority=plain["authority"])


def resealed(text: str) -> str:
    """The same under the secret that counts now. Raises ValueError where no secret fits."""
    if not text:
        return ""
    from scheduler.models import sealing

    return sealing.renewed(text, tuple(settings.NODE_SECRETS))

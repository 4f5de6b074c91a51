"""The text of an API key: `obk_<8 public id>_<43 secret><6 checksum>`, and its keyed hash.

The prefix is for secret scanners, the public id is the name in logs and the index of the look-up, the
secret is 256 bits in base 62, and the checksum is the CRC-32 of all before it, so that a slip of the pen
is told apart from a wrong key without a look-up.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from functools import lru_cache

PREFIX = "obk_"
ID_LENGTH = 8
SECRET_LENGTH = 43  # 62 ** 43 is just above 2 ** 256
CHECKSUM_LENGTH = 6  # 62 ** 6 is above 2 ** 32
LENGTH = len(PREFIX) + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_ALPHABET = string.digits + string.ascii_lowercase
SHAPE = re.compile(
    rf"{PREFIX}[0-9a-z]{{{ID_LENGTH}}}_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}", re.ASCII
)
ID_SHAPE = re.compile(rf"[0-9a-z]{{{ID_LENGTH}}}", re.ASCII)


def new_id() -> str:
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))


def new_token(public_id: str) -> str:
    """A fresh key with this public id."""
    secret = "".join(secrets.choice(BASE62) for _ in range(SECRET_LENGTH))
    body = f"{PREFIX}{public_id}_{secret}"
    return body + checksum(body)


def checksum(body: str) -> str:
    """CRC-32 in base 62, six characters, most significant first."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def public_id(token: str) -> str:
    """The characters where a key has its public id; meaningful only for a key without a flaw."""
    return token[len(PREFIX) : len(PREFIX) + ID_LENGTH]


def flaw(token: str) -> str | None:
    """What is wrong with the text of a key, as a sentence for its user; None for a well-formed one."""
    if not token.startswith(PREFIX):
        return f"The keys of this bridge begin with {PREFIX}, and this one does not."
    if len(token) != LENGTH:
        return f"A key has {LENGTH} characters and this one has {len(token)}: it was not copied whole."
    if not SHAPE.fullmatch(token):
        return "The key has characters that no key has: it was mistyped, or something was added to it."
    if checksum(token[:-CHECKSUM_LENGTH]) != token[-CHECKSUM_LENGTH:]:
        return "The key is mistyped: its checksum does not fit."
    return None


def masked(public_id: str, last_four: str) -> str:
    """How a key is shown after its first showing."""
    return f"{PREFIX}{public_id}_…{last_four}"


def digest(token: str, pepper: bytes) -> bytes:
    """HMAC-SHA256 of the key. A fast hash is right for a random 256-bit secret; the pepper, which is not in
    the database, makes a stolen table useless."""
    keyed = _keyed(pepper).copy()
    keyed.update(token.encode("utf-8", "replace"))
    return keyed.digest()


@lru_cache(maxsize=8)
def _keyed(pepper: bytes) -> hmac.HMAC:
    """Setting up the hash for a key costs more than hashing with it, and every request asks."""
    return hmac.new(pepper, digestmod="sha256")


def pepper_version(pepper: str) -> str:
    """Eight hex digits that name a pepper without telling it; stored beside each hash made with it."""
    return hashlib.sha256(b"ollama-bridge pepper:" + pepper.encode()).hexdigest()[:8]

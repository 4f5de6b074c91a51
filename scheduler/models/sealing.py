"""Sealing and certificates: all that needs `cryptography`."""

from __future__ import annotations

import base64
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Secrets = tuple[str, ...]  # the first seals; each opens


def sealed(plain: str, secrets: Secrets) -> str:
    return _keys(secrets).encrypt(plain.encode()).decode()


def opened(text: str, secrets: Secrets) -> str:
    """Raises ValueError where no secret fits or the text was altered."""
    try:
        return _keys(secrets).decrypt(text.encode()).decode()
    except InvalidToken:
        raise ValueError("sealed with another secret, or altered") from None


def renewed(text: str, secrets: Secrets) -> str:
    """The same, sealed with the first secret. Raises ValueError as `opened` does."""
    try:
        return _keys(secrets).rotate(text.encode()).decode()
    except InvalidToken:
        raise ValueError("sealed with another secret, or altered") from None


def certificates(pem: str) -> list[tuple[str, datetime]]:
    """Subject and end of each; none where the text is no PEM."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []
    return [(each.subject.rfc4514_string(), each.not_valid_after_utc) for each in found]


@lru_cache(maxsize=8)
def _keys(secrets: Secrets) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(_derived(secret))) for secret in secrets])


def _derived(secret: str) -> bytes:
    """32 bytes from a secret that may be any text."""
    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"ollama-bridge: access to nodes")
    return kdf.derive(secret.encode())

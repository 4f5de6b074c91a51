"""Who may do what: an immutable snapshot of the keys, asked once per request without a database.

`bridge.keyring` loads the snapshot and replaces it whole when a key was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Literal

from bridge import keyformat
from bridge.addresses import within
from bridge.grants import Grant

Why = Literal[
    "no_key",
    "malformed",
    "unknown",
    "expired",
    "revoked",
    "replaced",
    "address",
    "certificate",
    "scope",
    "model",
    "starting",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A request that is turned away before it is admitted."""

    reason: Why
    status: int  # 401: the key does not count; 403: it counts, and not for this; 503: no keys are known yet
    message: str  # what, why and what to do
    key: str = ""  # public id, once the secret was seen to be right

    def for_cli(self) -> Denied:
        """The Ollama command line hides the message of a 401 behind "sign in to ollama.com"."""
        return replace(self, status=403) if self.status == 401 else self


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """All keys at one moment. Never changed: a reader may hold on to it for as long as it likes."""

    grants: Mapping[str, Grant]  # by public id
    peppers: Mapping[str, bytes]  # by version
    certified: Mapping[str, Grant] = field(default_factory=dict)  # by subject of a client certificate
    loaded: bool = True  # False before the first look into the database succeeded

    def authorise(
        self, token: str | None, address: str | None, now: float, certificate: str = ""
    ) -> Grant | Denied:
        """The grant of a key presented from an address at a time (Unix seconds), or why not. `certificate` is
        the verified subject of the client's certificate, which stands for the key that is bound to it.

        One look-up and one HMAC; what is wrong with the text is only worked out for a key that failed."""
        if not self.loaded:
            return STARTING
        if token:
            grant = self.grants.get(keyformat.public_id(token))
            if grant is None or not self._fits(token, grant):
                return self._stranger(token, grant)
        else:
            grant = self.certified.get(certificate)
            if grant is None:
                return _no_key(certificate)
        return _over(grant, now) or _elsewhere(grant, address) or _unbound(grant, certificate) or grant

    def _fits(self, token: str, grant: Grant) -> bool:
        pepper = self.peppers.get(grant.pepper)
        return pepper is not None and compare_digest(keyformat.digest(token, pepper), grant.digest)

    def _stranger(self, token: str, grant: Grant | None) -> Denied:
        if flaw := keyformat.flaw(token):
            return Denied(
                reason="malformed", status=401, message=f"{flaw} Copy it again, or ask for a new one."
            )
        if grant is not None and grant.pepper not in self.peppers:
            return NO_PEPPER
        return UNKNOWN


def by_certificate(grants: Iterable[Grant]) -> dict[str, Grant]:
    """The grant that each certificate stands for: of several, one that was neither revoked nor replaced."""
    bound = (grant for grant in grants if grant.certificate)
    living_last = sorted(bound, key=lambda grant: (grant.revoked_at, grant.grace_ends_at))
    return {grant.certificate: grant for grant in living_last}


EMPTY = KeyRing(grants={}, peppers={}, loaded=False)

STARTING = Denied(
    reason="starting", status=503, message="The bridge has not read its keys yet. Try again in a moment."
)
NO_KEY = Denied(
    reason="no_key",
    status=401,
    message="No API key came with the request. Send it as `Authorization: Bearer obk_…` or"
    " `X-Api-Key: obk_…`; for the Ollama command line set OLLAMA_HOST to http://<bridge>/k/<key>.",
)
UNKNOWN = Denied(
    reason="unknown",
    status=401,
    message="This bridge does not know the API key. Check that it is a key of this bridge,"
    " or ask for a new one.",
)
NO_PEPPER = Denied(
    reason="unknown",
    status=401,
    message="This bridge cannot verify the API key: the pepper that it was made with is not configured here."
    " An operator can restore it (BRIDGE_PEPPER, BRIDGE_OLD_PEPPERS) or issue a new key.",
)


def _no_key(certificate: str) -> Denied:
    if not certificate:
        return NO_KEY
    said = (
        f"No key of this bridge is bound to the certificate {certificate[:200]!r}, and the request has none."
    )
    return replace(NO_KEY, message=f"{said} An operator can bind one to it.")


def lacks_scope(grant: Grant, scope: str) -> Denied:
    """The refusal of a key that does not have the scope a route asks for."""
    return Denied(
        reason="scope",
        status=403,
        key=grant.id,
        message=f"The API key {grant.name!r} has the scopes {', '.join(sorted(grant.scopes))}, and this needs"
        f" {scope}. Ask for a key with that scope.",
    )


def lacks_model(grant: Grant, model: str) -> Denied:
    """The refusal of a key that may not use a model."""
    return Denied(
        reason="model",
        status=403,
        key=grant.id,
        message=f"The API key {grant.name!r} may not use the model {model[:200]!r}. /api/tags and"
        " /v1/models list those it may use; an operator can allow more.",
    )


def _over(grant: Grant, now: float) -> Denied | None:
    """Why a right key no longer counts."""
    ends: tuple[tuple[Why, float, str], ...] = (
        ("revoked", grant.revoked_at, "was revoked on {}. Ask for a new one."),
        ("expired", grant.expires_at, "expired on {}. Ask for a new one."),
        ("replaced", grant.grace_ends_at, "was replaced and worked until {}. Use its successor."),
    )
    for reason, end, what in ends:
        if end <= now:
            when = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M UTC")
            message = f"The API key {grant.name!r} ({grant.id}) {what.format(when)}"
            return Denied(reason=reason, status=401, key=grant.id, message=message)
    return None


def _elsewhere(grant: Grant, address: str | None) -> Denied | None:
    """Why a right key does not count from this address."""
    if not grant.networks or within(address, grant.networks):
        return None
    return Denied(
        reason="address",
        status=403,
        key=grant.id,
        message=f"The API key {grant.name!r} may not be used from {address or 'an unknown address'}."
        " Use it from its own network, or ask an operator to allow yours.",
    )


def _unbound(grant: Grant, certificate: str) -> Denied | None:
    """Why a right key does not count without its certificate: then whoever stole its text has nothing."""
    if not grant.certificate or grant.certificate == certificate:
        return None
    return Denied(
        reason="certificate",
        status=403,
        key=grant.id,
        message=f"The API key {grant.name!r} counts only with its client certificate, and the request came"
        f" with {'another' if certificate else 'none'}. Send it through the address that asks for one.",
    )

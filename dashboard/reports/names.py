"""Names and teams for the ids that sums hold."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.models import ApiKey

NOBODY = "nobody"
AT_ONCE = 500  # ids in one query


def key_names(ids: Iterable[str]) -> dict[str, str]:
    """By public id, the name of the key; ids that no key has are missing."""
    wanted, found = sorted(set(ids) - {""}), dict[str, str]()
    for n in range(0, len(wanted), AT_ONCE):
        rows = ApiKey.objects.filter(public_id__in=wanted[n : n + AT_ONCE])
        found |= dict(rows.values_list("public_id", "name"))
    return found

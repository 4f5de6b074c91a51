"""What one key may do: its scopes, models, networks and limits, in the form that a request asks them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import translate

from bridge.addresses import Network
from bridge.periods import FOREVER, Period, running
from scheduler.board.interface import Budget, Limits

MOST_REMEMBERED = 512  # model names whose answer a grant remembers


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one key may do. Made when the keys are loaded, shared by all requests of the key."""

    id: str  # public id
    account: str  # public id of the first key of its chain of rotations: limits and budgets count by it
    name: str
    team: str
    priority: int
    digest: bytes
    pepper: str  # the pepper that the digest was made with; empty when this process does not have it
    scopes: frozenset[str]
    models: tuple[re.Pattern[str], ...] = ()  # empty: every model
    networks: tuple[Network, ...] = ()  # empty: from everywhere
    certificate: str = ""  # subject of the client certificate that the key is bound to; empty: to none
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel: int | None = None
    budgets: tuple[tuple[Period, int], ...] = ()  # tokens by period
    expires_at: float = FOREVER  # Unix seconds, as the two below
    revoked_at: float = FOREVER
    grace_ends_at: float = FOREVER
    _may_use: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)
    _limits: dict[int, Limits] = field(default_factory=dict, compare=False, repr=False)

    def allows(self, scope: str) -> bool:
        """Whether the key has this scope; `admin` has them all."""
        return scope in self.scopes or "admin" in self.scopes

    def may_use(self, model: str) -> bool:
        """Whether the key may use the model of this normalised name."""
        if not self.models:
            return True
        known = self._may_use.get(model)
        if known is None:
            if len(self._may_use) >= MOST_REMEMBERED:
                self._may_use.clear()
            known = any(glob.match(model) for glob in self.models)
            self._may_use[model] = known
        return known

    def limits(self, now: float) -> Limits:
        """The key's limits, with its budgets in the periods that `now` (Unix seconds) lies in."""
        day = int(now // 86_400)  # every period begins and ends at midnight UTC
        limits = self._limits.get(day)
        if limits is None:
            self._limits.clear()
            limits = self._limits[day] = Limits(
                requests_per_minute=self.requests_per_minute,
                tokens_per_minute=self.tokens_per_minute,
                parallel=self.parallel,
                budgets=tuple(_budget(period, tokens, now) for period, tokens in self.budgets),
            )
        return limits


def compiled(globs: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    """Globs over normalised model names; one that names no tag means `:latest`. Case does not count, as in
    Ollama."""
    return tuple(re.compile(translate(with_tag(glob)), re.IGNORECASE) for glob in globs)


def with_tag(glob: str) -> str:
    return glob if ":" in glob.rpartition("/")[2] or glob.endswith("*") else f"{glob}:latest"


def _budget(period: Period, tokens: int, now: float) -> Budget:
    start, end = running(period, now)
    return Budget(period=period, tokens=tokens, start=start, end=end)

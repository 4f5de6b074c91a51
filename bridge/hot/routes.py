"""Which view answers which path of the API. One look-up in a dict; two routes carry a name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.dialects.inner import Dialect
from bridge.errors import NotFound, WrongMethod
from bridge.hot.answer import Answer
from bridge.hot.request import HotRequest

if TYPE_CHECKING:
    from bridge.exchange import Exchange

View = Callable[[HotRequest, "Exchange"], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    endpoint: str  # the path as metrics and records name it
    method: str
    view: View
    dialect: Dialect
    scope: str | None  # what the key must be allowed; None: open to anyone, "": any valid key
    whole_body: bool = True  # False: the view reads the body itself, piece by piece


class Routes:
    """The table, and what to say where it has nothing."""

    def __init__(self, routes: list[Route], prefixes: dict[str, list[Route]]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._exact.setdefault(route.endpoint, {})[route.method] = route
        self._prefixes = {prefix: {r.method: r for r in group} for prefix, group in prefixes.items()}

    def find(self, path: str, method: str) -> Route:
        """The route. Raises NotFound, or WrongMethod with the methods there are."""
        methods = self._exact.get(path) or self._under_prefix(path)
        if methods is None:
            raise NotFound(
                f"There is no {path} here. /docs lists the routes of this bridge.", kind="unknown_route"
            )
        route = methods.get(method)
        if route is None:
            raise WrongMethod(f"{path} takes {' or '.join(sorted(methods))}, not {method}.")
        return route

    def _under_prefix(self, path: str) -> dict[str, Route] | None:
        for prefix, methods in self._prefixes.items():
            if path.startswith(prefix) and len(path) > len(prefix):
                return methods
        return None

"""The request of the API: a Django request without what the API never reads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, QueryDict
from django.utils.datastructures import MultiValueDict

if TYPE_CHECKING:
    from bridge.hot.client import Client

Scope = dict[str, Any]

ID_BYTES = 12
IDS_AT_ONCE = 256  # drawn in one call of the kernel, which costs more than all else about an id


def ids() -> Iterator[str]:
    """Request ids without end."""
    while True:
        drawn = os.urandom(ID_BYTES * IDS_AT_ONCE).hex()
        for start in range(0, len(drawn), 2 * ID_BYTES):
            yield f"req_{drawn[start : start + 2 * ID_BYTES]}"


new_id = ids().__next__


class HotRequest(HttpRequest):
    """Made from an ASGI scope. Django's own constructor builds query, cookies and META at once; here they
    are built when somebody asks, which on the hot path nobody does."""

    method: str

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.id = new_id()
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        self.started = time.perf_counter()
        self.raw_headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.payload = b""
        self.client: Client | None = None

    def header(self, name: bytes) -> bytes:
        """The first header of this lower-case name, or b''."""
        for key, value in self.raw_headers:
            if key == name:
                return value
        return b""

    @property
    def body(self) -> bytes:
        return self.payload

    def __getattr__(self, name: str) -> Any:
        """What HttpRequest.__init__ would have set, made when somebody asks for it."""
        makers: dict[str, Callable[[], Any]] = {
            "GET": self._query,
            "POST": QueryDict,
            "COOKIES": dict,
            "FILES": MultiValueDict,
            "META": self._meta,
        }
        maker = makers.get(name)
        if maker is None:
            raise AttributeError(name)
        value = maker()
        setattr(self, name, value)
        return value

    def _query(self) -> QueryDict:
        return QueryDict(self.scope.get("query_string", b"").decode("latin-1"))

    def _meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = {"REQUEST_METHOD": self.method, "REMOTE_ADDR": peer(self.scope)}
        for name, value in self.raw_headers:
            meta["HTTP_" + name.decode("latin-1").upper().replace("-", "_")] = value.decode("latin-1")
        return meta


def peer(scope: Scope) -> str:
    """The address at the other end of the socket."""
    client = scope.get("client")
    return client[0] if client else ""

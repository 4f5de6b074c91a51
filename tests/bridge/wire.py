"""A client on a bare socket: it can leave, stall or die at any byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

from tests.serving import PATIENCE_S, Bridge


class Wire:
    """One connection. `send` a request, `head` reads status and headers, `until` reads on to some bytes."""

    def __init__(self, bridge: Bridge, key: str, *, receive_bytes: int = 0) -> None:
        self._key = key
        self._socket = socket.socket()
        if receive_bytes:  # before connecting: the window that is offered to the server follows from it
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(("127.0.0.1", bridge.port))
        self.read = b""

    def send(self, route: str, body: dict[str, Any], *, agent: str = "wire", method: str = "POST") -> None:
        """A whole request; the record of it has `agent` in its column `client`."""
        payload = json.dumps(body).encode()
        self.send_head(route, len(payload), agent=agent, method=method)
        self._socket.sendall(payload)

    def send_head(
        self,
        route: str,
        length: int,
        *,
        agent: str = "wire",
        method: str = "POST",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """The head of a request whose body of `length` bytes is to follow."""
        lines = [
            f"{method} {route} HTTP/1.1",
            "Host: bridge",
            f"Authorization: Bearer {self._key}",
            f"User-Agent: {agent}",
            f"Content-Length: {length}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """Read until the bytes hold the mark; all that was read so far."""
        while mark not in self.read:
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionError(f"the bridge closed before {mark!r}: {self.read!r}")
            self.read += data
        return self.read

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers, names in lower case; what follows stays in `read`."""
        head, _, self.read = self.until(b"\r\n\r\n").partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, _, value in pairs}

    def closed(self) -> bool:
        """Whether the bridge closed the connection; waits until it does or sends."""
        data = self._socket.recv(65_536)
        self.read += data
        return not data

    def leave(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

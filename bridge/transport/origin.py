"""Where a node listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_DEFAULT_PORTS = {False: 80, True: 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Host, port and TLS of a node: the key of its connections."""

    host: str  # a name or an address; IPv6 without brackets
    port: int
    tls: bool = False
    ca: str = field(default="", repr=False)  # PEM; the authority that alone counts; empty: the machine's own
    prefix: bytes = field(default=b"", compare=False)  # of every path, where a proxy has the node below one
    lines: tuple[bytes, ...] = field(default=(), compare=False, repr=False)  # headers of every request
    host_header: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "host_header", self.authority.encode("ascii"))

    @property
    def authority(self) -> str:
        """host[:port] as a URL has it, without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.tls] else f"{host}:{self.port}"

    @classmethod
    def parse(cls, url: str, *, headers: Sequence[tuple[str, str]] = (), ca: str = "") -> Origin:
        """The origin of an http or https URL; ValueError when it has no host or another scheme. `headers` go
        with every request there."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a node; write http://host:port or https://host:port")
        tls = parts.scheme == "https"
        host = parts.hostname.encode("idna").decode("ascii")
        return cls(
            host,
            parts.port or _DEFAULT_PORTS[tls],
            tls,
            ca,
            parts.path.rstrip("/").encode("ascii"),
            tuple(f"{name}: {value}".encode("ascii") for name, value in headers),
        )

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"

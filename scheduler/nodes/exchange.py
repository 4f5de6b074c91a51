"""One request to a node and its whole answer, within a deadline and a size. Foreign errors end here."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import httpx
import orjson

from scheduler.models.access import OPEN, Access
from scheduler.nodes.errors import NodeDown, NodeGarbage, NodeTimeout, node_error

LARGEST_REPLY = 64 * 2**20  # bytes; a verbose /api/show is several MB
# The answer to a load comes when the model is ready: only the deadline bounds silence.
TIMEOUT = httpx.Timeout(connect=3.0, pool=3.0, write=30.0, read=None)
HEADERS = {"User-Agent": "ollama-bridge", "Accept": "application/json", "Accept-Encoding": "identity"}


class Exchange:
    """Calls to one node. It keeps a few connections of its own and forwards no header of any client."""

    def __init__(
        self,
        node: str,
        url: str,
        access: Access = OPEN,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.node = node
        self._fault = access.fault
        self._client = httpx.AsyncClient(
            base_url=url,
            verify=_tls(access.authority),
            headers={**HEADERS, **dict(access.headers)},
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=4, keepalive_expiry=15.0),
            trust_env=False,  # a proxy in the environment must not see node traffic
            follow_redirects=False,
            transport=transport,
        )

    async def json(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, deadline_s: float
    ) -> Any:
        """The answer's JSON. Raises NodeFailure."""
        if self._fault:
            raise NodeDown(self.node, self._fault)
        status, data = await self._reply(method, path, body, deadline_s)
        if status != 200:
            raise node_error(self.node, status, _error_text(data))
        parsed = _parse(data)
        if parsed is None:
            raise NodeGarbage(self.node, f"{path} answered with something that is not JSON")
        if isinstance(parsed, dict) and isinstance(parsed.get("error"), str):
            raise node_error(self.node, 500, parsed["error"])
        return parsed

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _reply(
        self, method: str, path: str, body: Mapping[str, Any] | None, deadline_s: float
    ) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(deadline_s):
                return await self._read(method, path, body)
        except TimeoutError:
            raise NodeTimeout(self.node, f"{path} gave no answer in {deadline_s:g} s") from None
        except (httpx.ConnectTimeout, httpx.PoolTimeout):
            raise NodeDown(self.node, f"{path}: no connection in {TIMEOUT.connect:g} s") from None
        except httpx.TimeoutException:
            raise NodeTimeout(self.node, f"{path}: the request could not be written in time") from None
        except httpx.DecodingError as error:
            raise NodeGarbage(self.node, f"{path}: {error}") from None
        except httpx.TransportError as error:
            raise NodeDown(self.node, f"{path}: {error or type(error).__name__}") from None

    async def _read(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        content = None if body is None else orjson.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        data = bytearray()
        async with self._client.stream(method, path, content=content, headers=headers) as response:
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > LARGEST_REPLY:
                    raise NodeGarbage(self.node, f"{path} answered with more than {LARGEST_REPLY} bytes")
        return response.status_code, bytes(data)


@lru_cache(maxsize=64)
def _tls(authority: str) -> ssl.SSLContext:
    """Trusts this authority alone where there is one. Reading those of the machine takes 40 ms of the event
    loop: once, not for each node."""
    return ssl.create_default_context(cadata=authority) if authority else httpx.create_ssl_context()


def _parse(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _error_text(data: bytes) -> str:
    """Ollama's `{"error": "…"}`; what stands in front of a node may answer with anything else."""
    parsed = _parse(data)
    if isinstance(parsed, dict) and isinstance(parsed.get("error"), str):
        return str(parsed["error"])
    return data[:500].decode("utf-8", "replace")

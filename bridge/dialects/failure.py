"""Why a request failed, before any dialect gives it a shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.dialects.inner import BadRequest, Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What the client is told: what happened, why, and what to do."""

    status: int  # HTTP status
    message: str
    kind: str  # the bridge's reason in one word, such as "queue_full"
    source: Literal["bridge", "node"] = "bridge"  # who failed
    retry_after_s: int | None = None
    should_retry: bool | None = None  # overrules what official clients decide from the status
    param: str | None = None  # the field at fault
    code: str | None = None  # `kind` where this is None

    @classmethod
    def of(cls, bad: BadRequest) -> Failure:
        """A request that cannot be read, which no second attempt mends."""
        return cls(
            status=bad.status,
            message=bad.message,
            kind="bad_request",
            should_retry=False,
            param=bad.param,
            code=bad.code,
        )

    def headers(self, content_type: bytes) -> Headers:
        """What official clients read before they retry: Retry-After (seconds) and x-should-retry."""
        headers = [(b"content-type", content_type)]
        if self.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % self.retry_after_s))
        if self.should_retry is not None:
            headers.append((b"x-should-retry", b"true" if self.should_retry else b"false"))
        return headers

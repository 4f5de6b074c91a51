"""What can go wrong with a request, one class a case. Each carries what its client is told.

BridgeError
  BadInput            400  the request cannot be understood
  TooLarge            413
  NotAuthorised       401, 403
  NotFound            404  route or model
  WrongMethod         405
  Refused             402, 429, 503  turned away by admission, with a reason
  Cancelled           503  an operator ended it
  NodeFailed          502, 504  the node broke off, was silent or spoke garbage
  NodeRefused         the node's own status and text
"""

from __future__ import annotations

from typing import Literal

from bridge.dialects.failure import Failure


class BridgeError(Exception):
    """The bridge failed inside; the request id finds the log line."""

    status = 500
    kind = "internal"
    source: Literal["bridge", "node"] = "bridge"

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        kind: str | None = None,
        retry_after_s: int | None = None,
        should_retry: bool | None = None,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message or self.__doc__)
        self.status = status or self.status
        self.kind = kind or self.kind
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.param = param
        self.code = code

    @property
    def failure(self) -> Failure:
        """The same as a value, for the dialects."""
        return Failure(
            status=self.status,
            message=str(self),
            kind=self.kind,
            source=self.source,
            retry_after_s=self.retry_after_s,
            should_retry=self.should_retry,
            param=self.param,
            code=self.code,
        )


class BadInput(BridgeError):
    """The request cannot be understood."""

    status = 400
    kind = "bad_request"


class TooLarge(BridgeError):
    """The request body is larger than this bridge takes."""

    status = 413
    kind = "too_large"


class NotAuthorised(BridgeError):
    """The key does not open this."""

    status = 401
    kind = "unauthorised"


class NotFound(BridgeError):
    """There is nothing at this address."""

    status = 404
    kind = "not_found"


class WrongMethod(BridgeError):
    """This address does not take this method."""

    status = 405
    kind = "wrong_method"


class Refused(BridgeError):
    """The bridge takes no more requests of this kind at the moment."""

    status = 503
    kind = "refused"


class Cancelled(BridgeError):
    """An operator cancelled this request. Ask them before you send it again."""

    status = 503
    kind = "operator"


class NodeFailed(BridgeError):
    """The node broke the answer off."""

    status = 502
    kind = "node_failed"
    source = "node"


class NodeRefused(BridgeError):
    """The node turned the request down."""

    kind = "node_refused"
    source = "node"

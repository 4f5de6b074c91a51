"""What stands in the path of a blob reaches a node only as a digest."""

from __future__ import annotations

import pytest

from tests.bridge.served import Served


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize(
    "path", ["sha256:00", "%2e%2e/delete", "sha256:%20x", "sha256%3Fx=1", "%F0%BE%91%86", "sha256:%0d%0ax"]
)
def test_a_path_that_is_no_digest_is_a_400_of_the_bridge(served: Served, method: str, path: str) -> None:
    with served.bridge.client(served.key) as client:
        reply = client.request(method, f"/api/blobs/{path}", content=b"x" if method == "POST" else None)
    assert reply.status_code == 400
    assert "x-bridge-node" not in reply.headers


def test_a_digest_reaches_the_node(served: Served) -> None:
    with served.bridge.client(served.key) as client:
        reply = client.head(f"/api/blobs/sha256:{'0' * 64}")
    assert (reply.status_code, "x-bridge-node" in reply.headers) == (404, True)

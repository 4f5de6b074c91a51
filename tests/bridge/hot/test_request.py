"""The API's request: what Django would build at once is built when asked for."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.hot.request import HotRequest, peer


def scope(**headers: str) -> dict[str, Any]:
    return {
        "method": "POST",
        "path": "/api/chat",
        "query_string": b"a=1&a=2&b=%20x",
        "client": ("192.0.2.1", 4000),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


def test_the_query_is_parsed_when_somebody_asks() -> None:
    request = HotRequest(scope())
    assert "GET" not in vars(request)
    assert request.GET.getlist("a") == ["1", "2"]
    assert request.GET["b"] == " x"
    assert vars(request)["GET"] is request.GET


def test_meta_has_the_peer_and_the_headers_as_django_names_them() -> None:
    meta = HotRequest(scope(user_agent="curl/8", x_forwarded_for="10.0.0.1")).META
    assert meta == {
        "REQUEST_METHOD": "POST",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_USER_AGENT": "curl/8",
        "HTTP_X_FORWARDED_FOR": "10.0.0.1",
    }


def test_what_the_api_never_reads_is_empty_and_what_nobody_knows_is_an_attribute_error() -> None:
    request = HotRequest(scope())
    assert not request.POST
    assert not request.COOKIES
    assert not request.FILES
    with pytest.raises(AttributeError):
        _ = request.session


def test_each_request_has_an_id_of_its_own_and_its_first_header_counts() -> None:
    one, two = HotRequest(scope(accept="a")), HotRequest(scope())
    assert one.id != two.id
    assert one.id.startswith("req_")
    one.raw_headers.append((b"accept", b"b"))
    assert one.header(b"accept") == b"a"
    assert two.header(b"accept") == b""


@pytest.mark.parametrize(("client", "address"), [(("192.0.2.1", 4000), "192.0.2.1"), (None, "")])
def test_the_peer_is_who_holds_the_socket(client: tuple[str, int] | None, address: str) -> None:
    assert peer({"client": client}) == address

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.credentials import credentials

OURS, OTHER = "obk_ab12cd34_" + "x" * 49, "obk_zz99zz99_" + "y" * 49


def headers(**named: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in named.items()]


@pytest.mark.parametrize(
    "named",
    [
        {"authorization": f"Bearer {OURS}"},
        {"authorization": f"bearer   {OURS} "},
        {"x_api_key": OURS},
        {"x_api_key": f" {OURS} ", "user_agent": "anthropic"},
        {"authorization": "Bearer ollama", "x_api_key": OURS},
        {"authorization": f"Bearer {OURS}", "x_api_key": OTHER},
    ],
)
def test_a_key_is_found_in_either_header(named: dict[str, str]) -> None:
    found = credentials(headers(**named), "/v1/chat/completions")
    assert (found.token, found.path, found.cli) == (OURS, "/v1/chat/completions", False)


@pytest.mark.parametrize(
    ("path", "rest"),
    [(f"/k/{OURS}/api/chat", "/api/chat"), (f"/k/{OURS}/", "/"), (f"/k/{OURS}", "/")],
)
def test_a_key_before_the_path_is_taken_out_of_it(path: str, rest: str) -> None:
    found = credentials([], path)
    assert (found.token, found.path, found.cli) == (OURS, rest, True)


def test_a_key_of_ours_in_the_path_counts_before_a_made_up_bearer_token() -> None:
    found = credentials(headers(authorization="Bearer ollama"), f"/k/{OURS}/v1/models")
    assert (found.token, found.path) == (OURS, "/v1/models")


@pytest.mark.parametrize(
    "named", [{}, {"authorization": "Basic YTpi"}, {"authorization": ""}, {"x_api_key": " "}]
)
def test_without_a_key_there_is_no_token(named: dict[str, str]) -> None:
    assert credentials(headers(**named), "/api/tags").token is None


def test_a_foreign_token_is_handed_on_so_that_its_refusal_can_say_so() -> None:
    assert credentials(headers(authorization="Bearer sk-something"), "/v1/models").token == "sk-something"


@pytest.mark.parametrize(
    ("agent", "cli"),
    [("ollama/0.33.0 (amd64 linux) Go/go1.26", True), ("ollama-python/0.6", False), ("curl/8", False)],
)
def test_the_ollama_command_line_is_known_by_its_user_agent(agent: str, cli: bool) -> None:
    assert credentials(headers(user_agent=agent), "/api/tags").cli is cli


@given(
    st.lists(st.tuples(st.sampled_from([b"authorization", b"x-api-key", b"user-agent"]), st.binary())),
    st.text(),
)
def test_any_bytes_are_read_without_an_error(raw: list[tuple[bytes, bytes]], path: str) -> None:
    found = credentials(raw, f"/k/{path}")
    assert found.path.startswith("/")

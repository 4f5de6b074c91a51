from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import auth, keyformat
from bridge.auth import Denied, KeyRing
from bridge.grants import MOST_REMEMBERED, Grant, compiled, with_tag

PEPPER = "a pepper"
VERSION = keyformat.pepper_version(PEPPER)
TOKEN = keyformat.new_token("ab12cd34")
NOW = 1_800_000_000.0
CRAWLER = "CN=crawler,O=Example"


def grant(**fields) -> Grant:
    values = {
        "id": "ab12cd34",
        "account": "ab12cd34",
        "name": "crawler",
        "team": "search",
        "priority": 1,
        "digest": keyformat.digest(TOKEN, PEPPER.encode()),
        "pepper": VERSION,
        "scopes": frozenset({"chat", "models"}),
    }
    return Grant(**(values | fields))


def ring(**fields) -> KeyRing:
    return KeyRing(grants={"ab12cd34": grant(**fields)}, peppers={VERSION: PEPPER.encode()})


def refused(answer: Grant | Denied) -> tuple[str, int]:
    assert isinstance(answer, Denied)
    assert answer.message.endswith(".")
    assert TOKEN not in answer.message
    return answer.reason, answer.status


def test_a_right_key_gets_its_grant() -> None:
    keys = ring()
    assert keys.authorise(TOKEN, "192.0.2.7", NOW) is keys.grants["ab12cd34"]


@pytest.mark.parametrize("token", [None, ""])
def test_no_key_is_told_how_to_send_one(token: str | None) -> None:
    answer = ring().authorise(token, None, NOW)
    assert refused(answer) == ("no_key", 401)
    assert "Authorization: Bearer" in answer.message


def test_a_mistyped_key_is_told_apart_from_a_wrong_one() -> None:
    mistyped = TOKEN[:30] + ("x" if TOKEN[30] != "x" else "y") + TOKEN[31:]
    other_secret = keyformat.new_token("ab12cd34")
    assert refused(ring().authorise(mistyped, None, NOW)) == ("malformed", 401)
    assert refused(ring().authorise(other_secret, None, NOW)) == ("unknown", 401)
    assert refused(ring().authorise(keyformat.new_token("zzzzzzzz"), None, NOW)) == ("unknown", 401)


@given(st.text(max_size=80))
def test_any_text_that_is_no_key_is_refused_and_never_an_error(text: str) -> None:
    assert refused(ring().authorise(text, "not an address", NOW))[1] == 401


@pytest.mark.parametrize(
    ("field", "reason"),
    [("revoked_at", "revoked"), ("expires_at", "expired"), ("grace_ends_at", "replaced")],
)
def test_a_key_counts_until_its_end_and_not_from_it_on(field: str, reason: str) -> None:
    keys = ring(**{field: NOW})
    assert isinstance(keys.authorise(TOKEN, None, NOW - 0.001), Grant)
    answer = keys.authorise(TOKEN, None, NOW)
    assert refused(answer) == (reason, 401)
    assert answer.key == "ab12cd34"


def test_a_wrong_secret_never_learns_that_the_key_was_revoked() -> None:
    keys = ring(revoked_at=0.0)
    assert refused(keys.authorise(keyformat.new_token("ab12cd34"), None, NOW))[0] == "unknown"


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::5"])
def test_a_key_counts_from_its_own_networks(address: str) -> None:
    keys = ring(networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")))
    assert isinstance(keys.authorise(TOKEN, address, NOW), Grant)


@pytest.mark.parametrize("address", ["11.1.2.3", "::ffff:11.1.2.3", "2001:db9::5", "", None, "unix", "::"])
def test_a_key_is_refused_from_elsewhere(address: str | None) -> None:
    keys = ring(networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")))
    assert refused(keys.authorise(TOKEN, address, NOW)) == ("address", 403)


def bound(**fields) -> KeyRing:
    """A key of the crawler's certificate."""
    mine = grant(certificate=CRAWLER, **fields)
    return replace(ring(), grants={mine.id: mine}, certified=auth.by_certificate([mine]))


def test_a_certificate_stands_for_the_key_that_is_bound_to_it() -> None:
    keys = bound()
    assert keys.authorise(None, None, NOW, CRAWLER) is keys.grants["ab12cd34"]
    answer = keys.authorise(None, None, NOW, "CN=stranger")
    assert refused(answer) == ("no_key", 401)
    assert "CN=stranger" in answer.message
    assert refused(keys.authorise(None, None, NOW)) == ("no_key", 401)


def test_no_certificate_is_nobody_even_where_keys_are_bound_to_none() -> None:
    assert auth.by_certificate([grant()]) == {}


@pytest.mark.parametrize("certificate", ["", "CN=stranger", CRAWLER + " "])
def test_a_bound_key_is_refused_without_its_certificate(certificate: str) -> None:
    assert refused(bound().authorise(TOKEN, None, NOW, certificate)) == ("certificate", 403)
    assert isinstance(bound().authorise(TOKEN, None, NOW, CRAWLER), Grant)


def test_a_certificate_does_not_outlive_its_key() -> None:
    assert refused(bound(revoked_at=NOW).authorise(None, None, NOW, CRAWLER)) == ("revoked", 401)
    networks = (ip_network("10.0.0.0/8"),)
    assert refused(bound(networks=networks).authorise(None, "192.0.2.7", NOW, CRAWLER)) == ("address", 403)


def test_of_several_keys_of_a_certificate_the_living_one_counts() -> None:
    old = grant(id="old00000", certificate=CRAWLER, grace_ends_at=NOW + 60)
    new = grant(id="new00000", certificate=CRAWLER)
    gone = grant(id="gone0000", certificate=CRAWLER, revoked_at=NOW)
    for order in ([old, new, gone], [gone, new, old]):
        assert auth.by_certificate(order)[CRAWLER] is new


def test_before_the_keys_were_read_nobody_is_called_unknown() -> None:
    assert refused(auth.EMPTY.authorise(TOKEN, None, NOW)) == ("starting", 503)


def test_a_key_of_a_pepper_that_is_not_here_says_so() -> None:
    keys = replace(ring(), peppers={keyformat.pepper_version("new"): b"new"})
    answer = keys.authorise(TOKEN, None, NOW)
    assert refused(answer) == ("unknown", 401)
    assert "BRIDGE_OLD_PEPPERS" in answer.message


def test_a_key_of_an_earlier_pepper_goes_on_working() -> None:
    keys = replace(ring(), peppers={keyformat.pepper_version("new"): b"new", VERSION: PEPPER.encode()})
    assert isinstance(keys.authorise(TOKEN, None, NOW), Grant)


def test_the_ollama_command_line_sees_403_where_others_see_401() -> None:
    denied = ring().authorise(None, None, NOW)
    assert isinstance(denied, Denied)
    assert denied.for_cli().status == 403
    assert auth.STARTING.for_cli().status == 503


def test_scopes_are_those_of_the_key_and_admin_is_all() -> None:
    assert grant().allows("chat")
    assert not grant().allows("manage")
    assert grant(scopes=frozenset({"admin"})).allows("manage")
    assert refused(auth.lacks_scope(grant(), "manage")) == ("scope", 403)
    assert refused(auth.lacks_model(grant(), "x" * 999)) == ("model", 403)


@pytest.mark.parametrize(
    ("glob", "model", "may"),
    [
        ("llama3.2", "llama3.2:latest", True),
        ("llama3.2", "llama3.2:1b", False),
        ("llama3*", "llama3.2:1b", True),
        ("Llama3.2:1B", "llama3.2:1b", True),
        ("qwen?", "qwen3:latest", True),
        ("hf.co/me/*", "hf.co/me/some-gguf:q4_k_m", True),
        ("localhost:5000/mine", "localhost:5000/mine:latest", True),
        ("*:1b", "llama3.2:1b", True),
        ("llama", "llama.cpp", False),
        ("a.c", "abc:latest", False),
    ],
)
def test_globs_are_over_normalised_names(glob: str, model: str, may: bool) -> None:
    assert grant(models=compiled([glob])).may_use(model) is may


def test_no_globs_are_every_model() -> None:
    assert grant().may_use("anything:latest")


plain = st.text("abcdefghij-._0123456789", min_size=1, max_size=20)


@given(plain, plain, st.integers(0, 20))
def test_a_name_matches_itself_and_its_own_beginning_with_a_star(name: str, tag: str, cut: int) -> None:
    model = f"{name}:{tag}"
    assert grant(models=compiled([model])).may_use(model)
    assert grant(models=compiled([model[:cut] + "*"])).may_use(model)
    assert not grant(models=compiled([model + "x"])).may_use(model)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_glob_compiles_and_answers(glob: str, model: str) -> None:
    assert grant(models=compiled([glob])).may_use(model) in (True, False)
    assert with_tag(with_tag(glob)) == with_tag(glob)


def test_what_a_grant_remembers_is_bounded() -> None:
    narrow = grant(models=compiled(["llama*"]))
    for number in range(3 * MOST_REMEMBERED):
        assert narrow.may_use(f"llama{number}:latest")
        assert not narrow.may_use(f"qwen{number}:latest")
        assert len(narrow._may_use) <= MOST_REMEMBERED


def test_limits_carry_the_budgets_of_the_running_periods() -> None:
    limits = grant(parallel=3, budgets=(("day", 100), ("total", 900))).limits(NOW)
    assert limits.parallel == 3
    day, total = limits.budgets
    assert (day.period, day.tokens, day.end - day.start) == ("day", 100, 86_400)
    assert day.start <= NOW < day.end
    assert (total.tokens, total.start) == (900, 0.0)


def test_limits_follow_the_calendar_and_are_made_once_a_day() -> None:
    limited = grant(budgets=(("day", 100),))
    today = limited.limits(NOW)
    assert limited.limits(NOW + 1) is today
    tomorrow = limited.limits(today.budgets[0].end)
    assert tomorrow.budgets[0].start == today.budgets[0].end
    assert limited.limits(NOW) == today
    assert len(limited._limits) == 1

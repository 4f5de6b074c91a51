from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import keyformat

ids = st.text(keyformat.ID_ALPHABET, min_size=8, max_size=8)


@given(ids)
def test_a_new_key_has_no_flaw_and_carries_its_public_id(public_id: str) -> None:
    token = keyformat.new_token(public_id)
    assert keyformat.flaw(token) is None
    assert keyformat.public_id(token) == public_id
    assert len(token) == 62


@given(ids, st.integers(4, 61), st.sampled_from(string.printable + "é…\0"))
def test_one_wrong_character_is_always_noticed(public_id: str, place: int, wrong: str) -> None:
    token = keyformat.new_token(public_id)
    spoiled = token[:place] + wrong + token[place + 1 :]
    assert (keyformat.flaw(spoiled) is None) == (spoiled == token)


@given(ids, st.integers(13, 54))
def test_two_neighbours_changing_places_are_noticed(public_id: str, place: int) -> None:
    token = keyformat.new_token(public_id)
    spoiled = token[:place] + token[place + 1] + token[place] + token[place + 2 :]
    assert (keyformat.flaw(spoiled) is None) == (spoiled == token)


@given(st.text())
def test_any_text_gets_a_sentence_or_none_and_never_an_error(text: str) -> None:
    said = keyformat.flaw(text)
    assert said is None or said.endswith(".")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: "sk-" + t, "begin with obk_"),
        (lambda t: t[:-1], "61: it was not copied whole"),
        (lambda t: t[:20] + " " + t[21:], "characters that no key has"),
        (lambda t: t[:20] + ("a" if t[20] != "a" else "b") + t[21:], "mistyped"),
    ],
)
def test_each_flaw_is_named(spoil, said: str) -> None:
    assert said in keyformat.flaw(spoil(keyformat.new_token("ab12cd34")))


def test_the_checksum_is_crc32_in_base_62() -> None:
    # The standard's check value: the CRC-32 of "123456789" is 0xCBF43926.
    value = 0
    for digit in keyformat.checksum("123456789"):
        value = value * 62 + keyformat.BASE62.index(digit)
    assert value == 0xCBF43926


def test_the_hash_depends_on_the_whole_key_and_on_the_pepper() -> None:
    token = keyformat.new_token("ab12cd34")
    digest = keyformat.digest(token, b"pepper")
    assert digest != keyformat.digest(token, b"other")
    assert digest != keyformat.digest(token[:-1], b"pepper")
    assert keyformat.pepper_version("pepper") != keyformat.pepper_version("other")


def test_two_keys_never_share_a_secret() -> None:
    assert len({keyformat.new_token("ab12cd34") for _ in range(1000)}) == 1000

"""The stream of a node, cut anywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dialects.ndjson import LastLine, LineSplitter, LineTooLong

LINES = st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=12)
ENDS = st.sampled_from([b"\n", b"\r\n"])


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(a, len(stream)) for a in at), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


@given(LINES, ENDS, st.lists(st.integers(0, 400), max_size=20))
def test_any_cutting_gives_the_same_lines(lines: list[str], end: bytes, at: list[int]) -> None:
    stream = b"".join(line.encode() + end for line in lines)
    splitter = LineSplitter()
    got = [line for piece in cut(stream, at) for line in splitter.feed(piece)]
    assert got == [line.encode() for line in lines if line]
    assert splitter.close() == b""


@given(LINES, st.text(min_size=1).filter(lambda t: not set(t) & set("\r\n")), st.lists(st.integers(0, 400)))
def test_what_follows_the_last_line_end_is_kept_apart(lines: list[str], rest: str, at: list[int]) -> None:
    stream = b"".join(line.encode() + b"\n" for line in lines) + rest.encode("utf-8", "replace")
    splitter = LineSplitter()
    for piece in cut(stream, at):
        splitter.feed(piece)
    assert splitter.close() == rest.encode("utf-8", "replace")


@given(LINES.filter(any), ENDS, st.lists(st.integers(0, 400), max_size=20), st.booleans())
def test_the_last_line_is_remembered_however_the_stream_is_cut(
    lines: list[str], end: bytes, at: list[int], ended: bool
) -> None:
    filled = [line.encode() for line in lines if line]
    stream = end.join(filled) + (end if ended else b"")
    last = LastLine()
    for piece in cut(stream, at):
        last.feed(piece)
    assert last.line() == filled[-1]


def test_a_character_cut_in_two_comes_out_whole() -> None:
    splitter = LineSplitter()
    euro = "€\n".encode()
    assert splitter.feed(euro[:1]) == []
    assert splitter.feed(euro[1:]) == ["€".encode()]


@pytest.mark.parametrize("piece", [1, 7, 64])
def test_a_line_of_exactly_the_limit_passes_and_one_byte_more_is_refused(piece: int) -> None:
    def run(size: int, end: bytes) -> list[bytes]:
        stream = b"x" * size + end
        splitter = LineSplitter(limit=32)
        return [
            line for at in range(0, len(stream), piece) for line in splitter.feed(stream[at : at + piece])
        ]

    assert run(32, b"\n") == run(32, b"\r\n") == [b"x" * 32]
    with pytest.raises(LineTooLong, match="longer than 32 bytes"):
        run(33, b"\n")


@pytest.mark.parametrize("reader", [LineSplitter(limit=32), LastLine(limit=32)])
def test_a_line_that_never_ends_is_refused_before_it_ends(reader: LineSplitter | LastLine) -> None:
    for _ in range(4):
        reader.feed(b"x" * 8)
    with pytest.raises(LineTooLong):
        reader.feed(b"x" * 8)

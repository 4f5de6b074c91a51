"""Trace files: what is wrong is named with its line, what can be put right is."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.replay import trace as module
from scheduler.replay.trace import BadTrace, part, read, write
from tests.scheduler.replay.cast import trace as made

HEADER = "timestamp_s,app_or_session,model,prompt_tokens,output_tokens\n"
MODELS = "model,size_gb\na,6.5\nb,14\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "t.models.csv").write_text(MODELS)
    return tmp_path / "t.csv"


def test_a_trace_is_read_in_columns(file: Path) -> None:
    file.write_text(HEADER + "0,k1,a,10,20\n1.5,k2,b,0,5\n")
    trace = read(file)
    assert (trace.times, trace.key_names, trace.model_names) == ([0.0, 1.5], ["k1", "k2"], ["a", "b"])
    assert (trace.prompt_tokens, trace.output_tokens, trace.sizes_gb) == ([10, 0], [20, 5], [6.5, 14.0])


def test_columns_may_come_in_any_order_and_with_others_between(file: Path) -> None:
    file.write_text("model,extra,output_tokens,prompt_tokens,timestamp_s,app_or_session\na,x,2,1,3,k\n")
    assert read(file).output_tokens == [2]


def test_rows_out_of_order_are_sorted_and_counted(file: Path) -> None:
    file.write_text(HEADER + "5,k,a,1,1\n2,k,b,1,1\n7,k,a,1,1\n")
    trace = read(file)
    assert trace.times == [2.0, 5.0, 7.0]
    assert trace.unsorted == 1
    assert [trace.model_names[m] for m in trace.models] == ["b", "a", "a"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("timestamp_s,model\n", "line 1: column app_or_session, prompt_tokens, output_tokens is missing"),
        ("", "line 1: column timestamp_s"),
        (HEADER, "has no requests"),
        (HEADER + "0,k,a,1,1\n1,k,zzz,1,1\n", "line 3: model 'zzz' is not in the list"),
        (
            HEADER + "0,k,a,-1,1\n",
            "line 2: prompt_tokens must be a whole number that is not negative, it is '-1'",
        ),
        (HEADER + "0,k,a,1,1.5\n", "line 2: output_tokens"),
        (HEADER + "-3,k,a,1,1\n", "line 2: timestamp_s"),
        (HEADER + "nan,k,a,1,1\n", "line 2: timestamp_s"),
        (HEADER + "soon,k,a,1,1\n", "line 2: timestamp_s"),
        (HEADER + "0,k,a\n", "line 2: 3 fields, the header has 5"),
        (HEADER + "0,k,a,1,1,9\n", "line 2: 6 fields, the header has 5"),
        (HEADER + "1700000000000,k,a,1,1\n", "line 2: timestamp_s is 1700000000000: give seconds, not milli"),
        (HEADER + "inf,k,a,1,1\n", "line 2: timestamp_s"),
        (HEADER + "0,k,a,1" + "0" * 5000 + ",1\n", "line 2: prompt_tokens"),
        (HEADER + "0,k,a,\u0661,1\n", "line 2: prompt_tokens"),
        (HEADER + "0,k\0,a,1,1\n", "line 2: app_or_session must be a name"),
        (HEADER + "0," + "k" * 256 + ",a,1,1\n", "line 2: app_or_session must be a name"),
        (HEADER + "0,k,a,1,1\n" + "x" * 70_000, "line 3: longer than 65,536 bytes"),
        (HEADER + "0,k,a," + '"' + "1\n" * 70_000, "line 65538: not CSV: field larger than"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(BadTrace) as error:
        read(file)
    assert says in str(error.value)
    assert "t.csv" in str(error.value)


@pytest.mark.parametrize(
    "text", ["model,size_gb\na,0\n", "model,size_gb\na,x\n", "model\na\n", "model,size_gb\na,1\na,2\n"]
)
def test_a_list_of_models_without_sizes_is_refused(file: Path, text: str) -> None:
    file.write_text(HEADER + "0,k,a,1,1\n")
    file.with_name("t.models.csv").write_text(text)
    with pytest.raises(BadTrace, match=r"t\.models\.csv, line"):
        read(file)


def test_a_file_that_is_not_there_or_not_text_is_refused(file: Path) -> None:
    with pytest.raises(BadTrace, match="cannot be read"):
        read(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadTrace, match="line 1: byte 1 is not UTF-8"):
        read(file)
    file.write_bytes(HEADER.encode() + "0,k\xe9,a,1,1\n".encode("latin-1"))
    with pytest.raises(BadTrace, match="line 2: byte 4 is not UTF-8"):
        read(file)
    with pytest.raises(BadTrace, match="cannot be read: Is a directory"):
        read(file.parent, file.with_name("t.models.csv"))


def test_a_byte_order_mark_is_no_part_of_the_first_column(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + HEADER.encode() + b"0,k,a,1,1\r\n")
    assert len(read(file)) == 1


def test_more_rows_than_memory_is_meant_for_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REQUESTS", 3)
    file.write_text(HEADER + "0,k,a,1,1\n" * 4)
    with pytest.raises(BadTrace, match="line 5: more than 3 rows"):
        read(file)


def test_rows_out_of_order_count_each_one_that_is_late(file: Path) -> None:
    file.write_text(HEADER + "9,k,a,1,1\n2,k,b,1,1\n3,k,a,1,1\n")
    assert read(file).unsorted == 2


def test_what_is_written_is_read_again(file: Path) -> None:
    trace = made([(0.0, "k", "a"), (1.25, "l", "b")], {"a": 6.5, "b": 14.0})
    write(trace, file)
    again = read(file)
    assert (again.times, again.models, again.keys, again.sizes_gb) == (
        trace.times,
        trace.models,
        trace.keys,
        trace.sizes_gb,
    )


def test_a_part_keeps_the_names(file: Path) -> None:
    trace = made([(0.0, "k", "a"), (1.0, "l", "b"), (2.0, "k", "b")], {"a": 6.5, "b": 14.0})
    half = part(trace, 1, 3)
    assert half.times == [1.0, 2.0]
    assert half.model_names == ["a", "b"]

"""The outbox keeps each record through crashes, and gives it to one writer."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bridge.usage.outbox import SEGMENT_BYTES, Outbox, lines
from tests.serving import ROOT


def read_all(outbox: Outbox) -> list[str]:
    with outbox.claimed() as paths:
        return [record["request_id"] for path in paths for record in lines(path)]


def test_a_sealed_segment_holds_the_records_in_order(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    for number in range(3):
        outbox.append({"request_id": f"r{number}"})
    outbox.seal()
    assert read_all(outbox) == ["r0", "r1", "r2"]


def test_a_segment_that_is_appended_to_is_nobody_elses(tmp_path: Path) -> None:
    writing, looking = Outbox(tmp_path), Outbox(tmp_path)
    writing.append({"request_id": "r0"})
    assert read_all(looking) == []
    writing.seal()
    assert read_all(looking) == ["r0"]


def test_two_writers_never_get_the_same_segment(tmp_path: Path) -> None:
    outbox, other = Outbox(tmp_path), Outbox(tmp_path)
    outbox.append({"request_id": "r0"})
    outbox.seal()
    with outbox.claimed() as mine, other.claimed() as theirs:
        assert len(mine) == 1
        assert theirs == []


def test_a_killed_process_leaves_its_records_to_the_next(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from bridge.usage.outbox import Outbox\n"
        f"outbox = Outbox(Path({str(tmp_path)!r}))\n"
        "for number in range(100): outbox.append({'request_id': f'r{number}'})\n"
        "print('written', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        assert read_all(Outbox(tmp_path)) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert read_all(Outbox(tmp_path)) == [f"r{number}" for number in range(100)]


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    whole = json.dumps({"request_id": "r0"}).encode()
    (tmp_path / "1-1-0.jsonl").write_bytes(whole + b"\n" + whole[:7])
    assert read_all(Outbox(tmp_path)) == ["r0"]


def test_a_record_of_a_killed_process_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    whole = json.dumps({"request_id": "r0"}).encode()
    (tmp_path / "1-1-0.jsonl").write_bytes(whole + b"\n" + whole[:7] + bytes(4096))
    assert read_all(Outbox(tmp_path)) == ["r0"]


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    record = {"request_id": "r", "reason": "x" * (SEGMENT_BYTES // 3)}
    for _ in range(7):
        outbox.append(record)
    outbox.seal()
    assert len(read_all(outbox)) == 7
    assert len(list(tmp_path.iterdir())) == 4
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 7 * (len(orjson.dumps(record)) + 1)


def test_records_that_waited_may_be_more_than_a_segment_holds(tmp_path: Path) -> None:
    directory = tmp_path / "outbox"
    outbox = Outbox(directory)
    os.rmdir(directory)
    for number in range(4):
        outbox.append({"request_id": f"r{number}", "reason": "x" * (SEGMENT_BYTES // 3)})
    directory.mkdir()
    outbox.append({"request_id": "r4"})
    outbox.seal()
    assert read_all(outbox) == ["r0", "r1", "r2", "r3", "r4"]


def test_a_disk_without_room_for_a_segment_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    outbox = Outbox(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        outbox.append({"request_id": "r0"})
    assert list(tmp_path.iterdir()) == []
    outbox.append({"request_id": "r1"})
    outbox.seal()
    assert read_all(outbox) == ["r0", "r1"]


def test_records_wait_in_memory_while_the_disk_refuses_and_follow_when_it_takes_them(tmp_path: Path) -> None:
    directory = tmp_path / "outbox"
    outbox = Outbox(directory)
    os.rmdir(directory)
    outbox.append({"request_id": "r0"})
    directory.mkdir()
    outbox.append({"request_id": "r1"})
    outbox.seal()
    assert read_all(outbox) == ["r0", "r1"]


def test_pending_bytes_count_what_the_database_lacks(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    assert outbox.pending_bytes() == 0
    outbox.append({"request_id": "r0"})
    assert outbox.pending_bytes() == len(b'{"request_id":"r0"}\n')

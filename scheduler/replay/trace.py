"""Traces: who asked for which model, when, and with how many tokens; no content.

A trace is a CSV file with the columns below; `<name>.models.csv` beside it gives each model's size.
Rows that are out of order in time are sorted, and the replay says how many there were. Everything else that
is wrong is an error which names the file, the line and what was expected. Lines, names and rows are bounded,
so that no file can fill the memory: a million requests take about 120 MB.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from scheduler.replay import whole

COLUMNS = ("timestamp_s", "app_or_session", "model", "prompt_tokens", "output_tokens")
MODEL_COLUMNS = ("model", "size_gb")
MOST_REQUESTS = 3_000_000
MOST_MODELS = 10_000
MOST_LINE = 65_536  # bytes
MOST_NAME = 255  # characters
MOST_TIME_S = 1e10  # Unix seconds until the year 2286; above it are milliseconds
MOST_TOKENS = 100_000_000


class BadTrace(ValueError):
    """A trace cannot be replayed; the message says where and why."""


@dataclass(slots=True, kw_only=True)
class Trace:
    """Requests in columns, in order of time; keys and models are indices into their names."""

    times: list[float] = field(default_factory=list)  # seconds
    keys: list[int] = field(default_factory=list)
    models: list[int] = field(default_factory=list)
    prompt_tokens: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)
    key_names: list[str] = field(default_factory=list)
    model_names: list[str] = field(default_factory=list)
    sizes_gb: list[float] = field(default_factory=list)  # by model
    unsorted: int = 0  # rows that came before an earlier one

    def __len__(self) -> int:
        return len(self.times)


def read(path: Path, models_path: Path | None = None) -> Trace:
    """The trace in `path`. Raises BadTrace."""
    sizes = read_sizes(models_path or path.with_name(path.name.removesuffix(".csv") + ".models.csv"))
    trace = Trace()
    keys: dict[str, int] = {}
    models: dict[str, int] = {}
    latest = 0.0
    for line, (when, key, model, prompt, output) in _rows(path, COLUMNS, MOST_REQUESTS):
        at = _time(path, line, when)
        if at < latest:
            trace.unsorted += 1
        latest = max(at, latest)
        if model not in sizes:
            raise BadTrace(
                f"{path}, line {line}: model {model[:MOST_NAME]!r} is not in the list of models with sizes."
            )
        if key not in keys:
            keys[_name(path, line, "app_or_session", key)] = len(keys)
        trace.times.append(at)
        trace.keys.append(keys[key])
        trace.models.append(models.setdefault(model, len(models)))
        trace.prompt_tokens.append(_tokens(path, line, "prompt_tokens", prompt))
        trace.output_tokens.append(_tokens(path, line, "output_tokens", output))
    if not trace.times:
        raise BadTrace(f"{path} has no requests: nothing to replay.")
    trace.key_names, trace.model_names = list(keys), list(models)
    trace.sizes_gb = [sizes[m] for m in models]
    return in_order(trace) if trace.unsorted else trace


def read_sizes(path: Path) -> dict[str, float]:
    """GB by model. Raises BadTrace."""
    sizes: dict[str, float] = {}
    for line, (model, text) in _rows(path, MODEL_COLUMNS, MOST_MODELS):
        size = _number(text)
        if size is None or size <= 0:
            raise BadTrace(f"{path}, line {line}: size_gb must be a number above 0, it is {text[:40]!r}.")
        if _name(path, line, "model", model) in sizes:
            raise BadTrace(f"{path}, line {line}: model {model!r} is listed twice.")
        sizes[model] = size
    return sizes


def write(trace: Trace, path: Path) -> None:
    """Write a trace and, first, its list of models beside it. Raises whole.CannotWrite."""
    models = zip(trace.model_names, trace.sizes_gb, strict=True)
    whole.write(
        path.with_name(path.name.removesuffix(".csv") + ".models.csv"), _csv_lines(MODEL_COLUMNS, models)
    )
    whole.write(path, _csv_lines(COLUMNS, _requests(trace)))


def _requests(trace: Trace) -> Iterator[tuple[object, ...]]:
    for i in range(len(trace)):
        key, model = trace.key_names[trace.keys[i]], trace.model_names[trace.models[i]]
        yield f"{trace.times[i]:.2f}", key, model, trace.prompt_tokens[i], trace.output_tokens[i]


def _csv_lines(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    out = csv.writer(line := _Line(), lineterminator="\n")
    out.writerow(columns)
    yield line.text
    for row in rows:
        out.writerow(row)
        yield line.text


class _Line:
    """Holds what csv.writer wrote last."""

    text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


def in_order(trace: Trace) -> Trace:
    """The same requests sorted by time; rows of the same time keep their order."""
    order = sorted(range(len(trace)), key=trace.times.__getitem__)
    for name in ("times", "keys", "models", "prompt_tokens", "output_tokens"):
        column = getattr(trace, name)
        setattr(trace, name, [column[i] for i in order])
    return trace


def part(trace: Trace, start: int, end: int) -> Trace:
    """Rows `start` to `end` as a trace of their own."""
    return Trace(
        times=trace.times[start:end],
        keys=trace.keys[start:end],
        models=trace.models[start:end],
        prompt_tokens=trace.prompt_tokens[start:end],
        output_tokens=trace.output_tokens[start:end],
        key_names=trace.key_names,
        model_names=trace.model_names,
        sizes_gb=trace.sizes_gb,
    )


def faster(trace: Trace, factor: float) -> Trace:
    """The same requests with all gaps divided by `factor`."""
    quick = part(trace, 0, len(trace))
    quick.times = [t / factor for t in trace.times]
    return quick


def _rows(path: Path, columns: tuple[str, ...], most: int) -> Iterator[tuple[int, list[str]]]:
    """(line number, the wanted columns) of a CSV file, whatever order its columns have."""
    try:
        with path.open("rb") as file:
            reader = csv.reader(_lines(path, file))
            header = [name.strip() for name in next(reader, [])]
            if missing := [name for name in columns if name not in header]:
                needed = f"needed are {', '.join(columns)}"
                raise BadTrace(f"{path}, line 1: column {', '.join(missing)} is missing; {needed}.")
            at = [header.index(name) for name in columns]
            count = 0
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise BadTrace(
                        f"{path}, line {reader.line_num}: {len(row)} fields, the header has {len(header)}."
                    )
                count += 1
                if count > most:
                    raise BadTrace(f"{path}, line {reader.line_num}: more than {most:,} rows; give a part.")
                yield reader.line_num, [row[i] for i in at]
    except OSError as error:
        raise BadTrace(f"{path} cannot be read: {error.strerror}.") from None
    except csv.Error as error:
        raise BadTrace(f"{path}, line {reader.line_num}: not CSV: {error}.") from None


def _lines(path: Path, file: BinaryIO) -> Iterator[str]:
    """The file's lines as text, without a byte order mark. Raises BadTrace."""
    number = 0
    while raw := file.readline(MOST_LINE + 1):
        number += 1
        if len(raw) > MOST_LINE:
            raise BadTrace(f"{path}, line {number}: longer than {MOST_LINE:,} bytes; this is no trace.")
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadTrace(
                f"{path}, line {number}: byte {error.start + 1} is not UTF-8; save the file as CSV in UTF-8."
            ) from None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _name(path: Path, line: int, column: str, text: str) -> str:
    if len(text) > MOST_NAME or not text.isprintable():
        raise BadTrace(
            f"{path}, line {line}: {column} must be a name of at most {MOST_NAME} printable letters."
        )
    return text


def _time(path: Path, line: int, text: str) -> float:
    value = _number(text)
    if value is None or value < 0:
        raise BadTrace(
            f"{path}, line {line}: timestamp_s must be seconds that are not negative, it is {text[:40]!r}."
        )
    if value > MOST_TIME_S:
        raise BadTrace(f"{path}, line {line}: timestamp_s is {text[:40]}: give seconds, not milliseconds.")
    return value


def _tokens(path: Path, line: int, column: str, text: str) -> int:
    digits = text.strip()
    whole_number = digits.isdecimal() and digits.isascii()
    value = int(digits[:20]) if whole_number else -1
    if value > MOST_TOKENS:
        raise BadTrace(f"{path}, line {line}: {column} is {text[:40]}, more than {MOST_TOKENS:,}.")
    if value < 0:
        raise BadTrace(
            f"{path}, line {line}: {column} must be a whole number that is not negative, it is {text[:40]!r}."
        )
    return value

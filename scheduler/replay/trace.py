"""Traces: who asked for which model, when, and with how many tokens; no content.

A trace is a CSV file with the columns below; `<name>.models.csv` beside it gives each model's size.
Rows that are out of order in time are sorted, and the replay says how many there were. Everything else that
is wrong is an error which names the file, the line and what was expected.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

COLUMNS = ("timestamp_s", "app_or_session", "model", "prompt_tokens", "output_tokens")
MODEL_COLUMNS = ("model", "size_gb")


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
    for line, (when, key, model, prompt, output) in _rows(path, COLUMNS):
        at = _time(path, line, when)
        if trace.times and at < trace.times[-1]:
            trace.unsorted += 1
        if model not in sizes:
            raise BadTrace(
                f"{path}, line {line}: model {model!r} is not in the list of models with their sizes."
            )
        trace.times.append(at)
        trace.keys.append(keys.setdefault(key, len(keys)))
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
    for line, (model, text) in _rows(path, MODEL_COLUMNS):
        size = _number(text)
        if size is None or size <= 0:
            raise BadTrace(f"{path}, line {line}: size_gb must be a number above 0, it is {text!r}.")
        if model in sizes:
            raise BadTrace(f"{path}, line {line}: model {model!r} is listed twice.")
        sizes[model] = size
    return sizes


def write(trace: Trace, path: Path) -> None:
    """Write a trace and its list of models beside it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for i in range(len(trace)):
            key, model = trace.key_names[trace.keys[i]], trace.model_names[trace.models[i]]
            out.writerow(
                (f"{trace.times[i]:.2f}", key, model, trace.prompt_tokens[i], trace.output_tokens[i])
            )
    with path.with_name(path.name.removesuffix(".csv") + ".models.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(MODEL_COLUMNS)
        out.writerows(zip(trace.model_names, trace.sizes_gb, strict=True))


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


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """(line number, the wanted columns) of a CSV file, whatever order its columns have."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            if missing := [name for name in columns if name not in header]:
                needed = f"needed are {', '.join(columns)}"
                raise BadTrace(f"{path}, line 1: column {', '.join(missing)} is missing; {needed}.")
            at = [header.index(name) for name in columns]
            for row in reader:
                if not row:
                    continue
                if len(row) < len(header):
                    raise BadTrace(
                        f"{path}, line {reader.line_num}: {len(row)} fields, the header has {len(header)}."
                    )
                yield reader.line_num, [row[i] for i in at]
    except OSError as error:
        raise BadTrace(f"{path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadTrace(f"{path} is not a CSV file in UTF-8: {error}.") from None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _time(path: Path, line: int, text: str) -> float:
    value = _number(text)
    if value is None or value < 0:
        raise BadTrace(
            f"{path}, line {line}: timestamp_s must be seconds that are not negative, it is {text!r}."
        )
    return value


def _tokens(path: Path, line: int, column: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise BadTrace(
            f"{path}, line {line}: {column} must be a whole number that is not negative, it is {text!r}."
        )
    return value

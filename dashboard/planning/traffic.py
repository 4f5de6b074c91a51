"""The traffic that a plan is made for: our own of some days, or an uploaded trace; packed for its row."""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile

from dashboard.reports import output, trace
from dashboard.reports.report import Asked
from dashboard.reports.sizes import sizes_gb

MOST_REQUESTS = 200_000  # more take hours on one processor: the command line has --jobs
MOST_BYTES = 64 * 2**20  # of an uploaded trace
MOST_SIZES_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A trace (CSV in gzip) and the sizes of its models (CSV)."""

    source: str  # in words
    trace: bytes
    sizes: str


def own(days: int, now: datetime) -> Traffic:
    """The last whole days before today, in UTC. Raises ValidationError where there is none, or too much."""
    end = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - timedelta(days=days)
    report = trace.build(Asked(start=start, end=end))
    requests, models = report.tables
    packed, sizes = io.BytesIO(), io.StringIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=3) as file:
        output.write_csv(requests, _Counted(file))
    count = requests.totals()["requests"]
    words = f"own traffic of {start:%Y-%m-%d}" + (
        f" to {end - timedelta(days=1):%Y-%m-%d}" if days > 1 else ""
    )
    if not count:
        raise ValidationError(f"There is no {words} to plan for.")
    output.write_csv(models, sizes)
    return Traffic(source=f"{words}, {count:,} requests", trace=packed.getvalue(), sizes=sizes.getvalue())


def uploaded(file: UploadedFile[bytes], sizes: UploadedFile[bytes] | None) -> Traffic:
    """A trace from a file; without a list of models, the sizes are the catalogue's. Raises ValidationError.

    What else may be wrong in it is named, with its line, when it is read."""
    if (file.size or 0) > MOST_BYTES:
        raise ValidationError(f"The trace is larger than {MOST_BYTES // 2**20} MiB.")
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=3) as out:
        counted = _Counted(out)
        for chunk in file.chunks():
            counted.write_bytes(chunk)
    return Traffic(
        source=f"{(file.name or 'a file')[:100]}, about {max(counted.lines - 1, 0):,} requests",
        trace=packed.getvalue(),
        sizes=_catalogue() if sizes is None else _text(sizes),
    )


def _catalogue() -> str:
    sizes = io.StringIO()
    out = csv.writer(sizes, lineterminator="\n")
    out.writerow(("model", "size_gb"))
    out.writerows(sizes_gb().items())
    return sizes.getvalue()


def _text(file: UploadedFile[bytes]) -> str:
    if (file.size or 0) > MOST_SIZES_BYTES:
        raise ValidationError("The list of models is larger than 1 MiB.")
    try:
        return bytes(file.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValidationError("The list of models is not UTF-8; save it as CSV in UTF-8.") from None


class _Counted:
    """Packs what is written, and counts its lines. Raises ValidationError beyond MOST_REQUESTS."""

    def __init__(self, out: gzip.GzipFile) -> None:
        self.out = out
        self.lines = 0

    def write(self, text: str) -> None:
        self.write_bytes(text.encode())

    def write_bytes(self, part: bytes) -> None:
        self.lines += part.count(b"\n")
        if self.lines > MOST_REQUESTS + 1:
            raise ValidationError(
                f"There are more than {MOST_REQUESTS:,} requests. Write them with `manage.py report trace` "
                "and plan with `manage.py plan --jobs`."
            )
        self.out.write(part)

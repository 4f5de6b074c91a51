"""The file of a backup: a tar of `about.json` and the database as its own tool writes it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

from bridge.wholefile import whole

FORMAT = 1
ABOUT, DATABASE = "about.json", "database"
MOST_ABOUT = 2**20  # bytes
CHUNK = 2**20


class BadBackup(ValueError):
    """The file is no backup, is damaged, or is of another kind; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a backup says of itself. `pepper` is a version, never the pepper itself."""

    engine: str  # sqlite or postgresql
    made_at: str  # ISO 8601, UTC
    pepper: str
    migrations: list[str]  # as in bridge.0001_keys_usage_audit
    sha256: str  # of the database
    format: int = FORMAT


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pack(path: Path, database: Path, about: About) -> None:
    """Write the backup, whole or not at all. Raises OSError."""
    told = json.dumps(asdict(about), indent=1).encode()
    with whole(path) as fresh, tarfile.open(fresh, "w") as tar, database.open("rb") as file:
        tar.addfile(_member(ABOUT, len(told)), io.BytesIO(told))
        tar.addfile(_member(DATABASE, database.stat().st_size), file)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(time.time())
    return member


def about(path: Path) -> About:
    """What the file says of itself. Raises BadBackup, OSError."""
    try:
        with tarfile.open(path, "r:") as tar:
            told = json.loads(_file(tar, ABOUT).read(MOST_ABOUT))
    except (tarfile.TarError, ValueError) as error:
        raise BadBackup(f"It is no backup of a bridge, or is not whole ({error}).") from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise BadBackup(f"It is no backup in the format {FORMAT}, the one that this version reads.")
    try:
        return About(**{field.name: told[field.name] for field in fields(About)})
    except KeyError as error:
        raise BadBackup(f"It does not say its {error}.") from None


def unpack(path: Path, into: Path) -> None:
    """The database of the backup, as a file of its own. Raises BadBackup, OSError."""
    wanted = about(path).sha256
    try:
        with tarfile.open(path, "r:") as tar, into.open("wb") as out:
            file = _file(tar, DATABASE)
            while chunk := file.read(CHUNK):
                out.write(chunk)
    except tarfile.TarError as error:
        raise BadBackup(f"It is not whole ({error}).") from None
    if sha256_of(into) != wanted:
        raise BadBackup("It is damaged: its database is not the one that was written.")


def _file(tar: tarfile.TarFile, name: str) -> BinaryIO:
    try:
        file = tar.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise BadBackup(f"It is no backup of a bridge: it has no file {name}.")
    return file  # type: ignore[return-value]  # typeshed has IO[bytes]

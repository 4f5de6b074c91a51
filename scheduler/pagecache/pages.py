"""What Linux says of memory: which pages of a file are cached, and how much is left for others."""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import os
from functools import cache
from pathlib import Path
from typing import Any

PAGE = mmap.PAGESIZE
MEMINFO = Path("/proc/meminfo")
_PROT_NONE, _MAP_SHARED, _FAILED = 0, 1, ctypes.c_void_p(-1).value


def cached_pages(path: Path) -> bytes | None:
    """One byte for each page of a file, 1 where it is in the page cache; None where the kernel does not tell.

    It tells who owns the file or may write to it (mincore(2), since Linux 5.2); all others see every page as
    cached, which is no answer.
    """
    libc = _libc()
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            told = os.geteuid() in (0, found.st_uid) or os.access(path, os.W_OK)
            if libc is None or not told or not found.st_size:
                return None
            return _mincore(libc, file.fileno(), found.st_size)
    except OSError:
        return None


def _mincore(libc: Any, descriptor: int, size: int) -> bytes | None:
    address = libc.mmap(None, size, _PROT_NONE, _MAP_SHARED, descriptor, 0)
    if address in (None, _FAILED):
        return None
    try:
        vector = (ctypes.c_ubyte * -(-size // PAGE))()
        if libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), vector):
            return None
        return bytes(flag & 1 for flag in vector)
    finally:
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


@cache
def _libc() -> Any:
    """None where the C library has no mincore."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mincore.restype = libc.munmap.restype = ctypes.c_int
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    except (OSError, AttributeError):
        return None
    return libc


def available_share(meminfo: Path = MEMINFO) -> float:
    """The share of memory that programs could have without swapping, cached files included; 1 unless told."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        fields = {line.partition(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
        return fields["MemAvailable"] / fields["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
        return 1.0

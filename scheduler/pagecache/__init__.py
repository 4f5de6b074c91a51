"""The tier of host memory: files of models that are likely to be loaded lie in the kernel's page cache.

A load from there is several times faster than from disk, and nothing has to be evicted for it: the kernel
gives these pages away as soon as a program needs memory.
"""

from __future__ import annotations

from scheduler.pagecache.filler import Filler
from scheduler.pagecache.store import ModelStore

__all__ = ["Filler", "ModelStore"]

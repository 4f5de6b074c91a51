"""Files of likely models are read into the page cache, as the kernel confirms."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scheduler.pagecache import Filler, ModelStore
from scheduler.pagecache.filler import planned
from scheduler.pagecache.pages import available_share, cached_pages
from scheduler.pagecache.store import Blob

MIB = 2**20
LAYER = '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:%s"}]}'


class Models:
    """A models directory as Ollama writes it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "blobs").mkdir(parents=True)

    def add(self, name: str, size: int = 8 * MIB, *, shares: str = "") -> Path:
        """`name` is host/namespace/model/tag; its weights are not in the page cache."""
        weights = self.blob(shares or name, size)
        layers = [
            {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{weights.name[7:]}"},
            {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "0" * 64},
        ]
        manifest = self.root / "manifests" / name
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
        return weights

    def blob(self, name: str, size: int) -> Path:
        path = self.root / "blobs" / f"sha256-{hashlib.sha256(name.encode()).hexdigest()}"
        if not path.exists():
            with path.open("wb") as file:
                file.write(os.urandom(MIB) * (size // MIB))
                file.flush()
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if share(path) > 0.5:
            pytest.skip("this file system keeps what was written in memory")
        return path


def share(path: Path) -> float:
    known = cached_pages(path)
    if known is None:
        pytest.skip("this kernel does not tell which pages are cached")
    return sum(known) / len(known)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path / "models")


@contextmanager
def filling(
    models: Models,
    *,
    budget: int = 100 * MIB,
    pace: float = 1e9,
    available: Callable[[], float] = lambda: 0.9,
) -> Iterator[Filler]:
    filler = Filler(
        ModelStore(models.root),
        budget_bytes=budget,
        bytes_per_s=pace,
        available=available,
        rest_s=0.02,
        breather_s=0.02,
    )
    filler.start()
    try:
        yield filler
    finally:
        filler.stop()


def until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.01)


def test_the_files_of_a_likely_model_are_in_memory_soon(models: Models) -> None:
    likely = models.add("registry.ollama.ai/library/qwen3/8b")
    other = models.add("registry.ollama.ai/library/llama3.2/latest")
    with filling(models) as filler:
        filler.want(["qwen3:8b", "unknown:latest"])
        until(lambda: share(likely) == 1.0)
        until(lambda: filler.state.doing == "resting")
        assert share(other) == 0.0
        assert filler.state.read_bytes == 8 * MIB
        filler.want(["llama3.2:latest", "qwen3:8b"])
        until(lambda: share(other) == 1.0)
        until(lambda: filler.state.doing == "resting")
        assert filler.state.read_bytes == 16 * MIB, "what is cached is not read again"


def test_the_budget_goes_to_the_most_likely(models: Models) -> None:
    first, second, third = (models.add(f"registry.ollama.ai/library/m{n}/latest") for n in range(3))
    with filling(models, budget=17 * MIB) as filler:
        filler.want(["m2:latest", "m0:latest", "m1:latest"])
        until(lambda: filler.state.read_bytes == 16 * MIB and filler.state.doing == "resting")
    assert [share(path) for path in (first, second, third)] == [1.0, 0.0, 1.0]


def test_the_disk_is_read_at_a_bounded_pace(models: Models) -> None:
    path = models.add("registry.ollama.ai/library/big/latest", 16 * MIB)
    with filling(models, pace=32 * MIB) as filler:
        began = time.monotonic()
        filler.want(["big:latest"])
        until(lambda: share(path) == 1.0)
        assert time.monotonic() - began > 0.3, "16 MiB at 32 MiB/s, less the last pause"


def test_nothing_is_read_while_programs_are_short_of_memory(models: Models) -> None:
    path, left = models.add("registry.ollama.ai/library/a/latest"), [0.05]
    with filling(models, available=lambda: left[0]) as filler:
        filler.want(["a:latest"])
        until(lambda: filler.state.doing == "short of memory")
        assert share(path) == 0.0
        left[0] = 0.5
        until(lambda: share(path) == 1.0)


def test_a_new_list_ends_the_reading_of_the_old_one(models: Models) -> None:
    old = models.add("registry.ollama.ai/library/old/latest", 64 * MIB)
    new = models.add("registry.ollama.ai/library/new/latest")
    with filling(models, pace=16 * MIB) as filler:
        filler.want(["old:latest"])
        until(lambda: filler.state.doing == "reading")
        filler.want(["new:latest"])
        until(lambda: share(new) == 1.0)
    assert share(old) < 0.5


def test_files_that_fit_are_chosen_in_order_and_none_twice() -> None:
    a, b, c = (Blob(path=Path(name), bytes=size) for name, size in (("a", 40), ("b", 50), ("c", 10)))
    assert planned([[a], [b], [c]], 100) == [a, b, c]
    assert planned([[a], [b], [c]], 60) == [a, c]
    assert planned([[a, c], [b, c]], 100) == [a, c, b], "c is there already"
    assert planned([[a, b], [c]], 60) == [c], "half of a model hides nothing"


def test_names_are_found_in_whatever_letters_they_were_pulled_with(models: Models) -> None:
    models.add("hf.co/unsloth/Qwen3-8B-GGUF/Q4_K_M")
    models.add("registry.ollama.ai/mike/mistral/7b")
    store = ModelStore(models.root)
    assert [len(store.blobs(n)) for n in ("hf.co/unsloth/qwen3-8b-gguf:q4_k_m", "mike/mistral:7b")] == [1, 1]


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        '{"layers": [{}]}',
        LAYER % "../../etc/passwd",
        LAYER % ("1" * 64),
    ],
)
def test_a_broken_manifest_names_no_file(models: Models, manifest: str) -> None:
    path = models.root / "manifests/registry.ollama.ai/library/a/latest"
    path.parent.mkdir(parents=True)
    path.write_text(manifest)
    assert ModelStore(models.root).blobs("a:latest") == []


def test_how_much_memory_is_left(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 250 kB\nHugePages_Total: 0\n")
    assert available_share(meminfo) == 0.25
    assert available_share(tmp_path / "none") == 1.0

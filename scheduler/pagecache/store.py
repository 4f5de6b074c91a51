"""Where Ollama keeps the files of a model: manifests by name, blobs by digest (OLLAMA_MODELS)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scheduler.policy.names import BadName, normalise

# What a load reads. Templates, licences and parameters are small.
WEIGHTS = {f"application/vnd.ollama.image.{kind}" for kind in ("model", "projector", "adapter")}
DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
LARGEST_MANIFEST = 2**20  # bytes
STALE_S = 60.0  # names are looked up anew so often
MOST_MANIFESTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file of weights."""

    path: Path
    bytes: int


class ModelStore:
    """Reads a models directory; whatever is not as Ollama writes it is left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._manifests: dict[str, Path] = {}
        self._read_at = float("-inf")

    def blobs(self, model: str) -> list[Blob]:
        """The files of a model of this normalised name; none where it is not here."""
        if time.monotonic() - self._read_at > STALE_S or model not in self._manifests:
            self._manifests = dict(self._names())
            self._read_at = time.monotonic()
        manifest = self._manifests.get(model)
        return list(self._weights(manifest)) if manifest is not None else []

    def _names(self) -> Iterator[tuple[str, Path]]:
        """Manifests are at host/namespace/model/tag, in the letters that the name was pulled with."""
        base = self.root / "manifests"
        for count, path in enumerate(base.glob("*/*/*/*")):
            if count >= MOST_MANIFESTS:
                return
            *place, tag = path.relative_to(base).parts
            try:
                yield normalise(f"{'/'.join(place)}:{tag}"), path
            except BadName:
                continue

    def _weights(self, manifest: Path) -> Iterator[Blob]:
        try:
            if manifest.stat().st_size > LARGEST_MANIFEST:
                return
            layers = json.loads(manifest.read_bytes())["layers"]
            digests = [str(each["digest"]) for each in layers if each["mediaType"] in WEIGHTS]
        except (OSError, ValueError, KeyError, TypeError):
            return
        for digest in digests:
            if found := DIGEST.fullmatch(digest):  # nothing else can name a file outside of the store
                path = self.root / "blobs" / f"sha256-{found[1]}"
                if path.is_file():
                    yield Blob(path=path, bytes=path.stat().st_size)

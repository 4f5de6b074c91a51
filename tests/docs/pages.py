"""The pages that users read, and what stands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block. `bash` and `python` are run by a test; `sh` and `console` are not."""

    page: str
    number: int  # in its page, from 1
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}-{self.language}"


def blocks(page: Path) -> list[Block]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [
        Block(page=page.name, number=number, language=language, text=text)
        for number, (language, text) in enumerate(found, start=1)
    ]


def links(page: Path) -> list[str]:
    """Targets inside the repository, without the part after #."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link and link[0] != "#"]

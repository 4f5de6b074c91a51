"""Ask OSV whether an advisory is known for any locked package: `python deploy/audit.py`.

Exit code 0: none is known, or OSV cannot be reached (it says so). 1: advisories, listed.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements" / "base.txt"
OSV = "https://api.osv.dev"  # https://google.github.io/osv.dev/post-v1-querybatch/


def locked(text: str) -> Iterator[tuple[str, str]]:
    """Name and version of each package of a lock file."""
    yield from re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)


def advisories(packages: list[tuple[str, str]], url: str, timeout_s: float) -> dict[str, list[str]]:
    """Advisory ids by `name==version`. Raises OSError or ValueError where OSV fails."""
    queries = [{"package": {"name": n, "ecosystem": "PyPI"}, "version": v} for n, v in packages]
    request = urllib.request.Request(  # noqa: S310  the address is https, or a test's
        f"{url}/v1/querybatch",
        data=json.dumps({"queries": queries}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
        results = json.load(answer)["results"]
    found = zip(packages, results, strict=True)
    return {
        f"{n}=={v}": [each["id"] for each in result["vulns"]]
        for (n, v), result in found
        if result.get("vulns")
    }


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, default=LOCK)
    parser.add_argument("--url", default=OSV)
    parser.add_argument("--timeout", type=float, default=10.0)
    given = parser.parse_args()
    packages = list(locked(given.lock.read_text(encoding="utf-8")))
    try:
        found = advisories(packages, given.url, given.timeout)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(
            f"{given.url} cannot be asked ({error}): nothing is known about {len(packages)} packages.\n"
        )
        return 0
    for package, ids in sorted(found.items()):
        sys.stdout.write(f"{package}: {', '.join(ids)}\n")
    sys.stdout.write(f"{len(packages)} packages, {len(found)} with advisories.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Every page that a signed-in operator can reach by links, one of each kind."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from urllib.parse import urlsplit

from playwright.sync_api import Page

STARTS = ("/admin/", "/docs")
NO_PAGES = re.compile(r"^/admin/(logout|jsi18n)/|^/static/|\.(json|csv)$")
LINKS = "[...document.querySelectorAll('a[href]')].map(link => link.href)"
ID = re.compile(r"/(\d+|req_\w+)(?=/|$)")
ROW_PAGE = re.compile(r"^/admin/\w+/\w+/(N/(?:delete|history)/)$")


def kind(path: str) -> str:
    """Pages that differ in their row alone are of one kind; Django's own for every model are, too."""
    one = ID.sub("/N", path)
    return ROW_PAGE.sub(r"/\1", one)


def crawl(page: Page) -> Iterator[str]:
    """Load one page of each kind, and give its path while it is open."""
    waiting, seen = deque(STARTS), {kind(path) for path in STARTS}
    host = urlsplit(page.url).netloc
    while waiting:
        path = waiting.popleft()
        reply = page.goto(path)
        assert reply is not None
        assert reply.status == 200, f"{path} answers {reply.status}"
        yield path
        for link in map(urlsplit, page.evaluate(LINKS)):
            fresh = link.netloc == host and kind(link.path) not in seen and not NO_PAGES.search(link.path)
            if fresh and link.path.startswith(STARTS):
                seen.add(kind(link.path))
                waiting.append(link.path)

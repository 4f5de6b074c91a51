"""A steady load that forgives nothing: every request ends in one count, broken connections too."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

import httpx

from tests.serving import PLAIN

PATIENCE_S = 30.0
END = b'"done":true'


class Steady:
    """So many clients, each with one connection that it keeps, streams and whole answers in turn."""

    def __init__(self, url: str, key: str, clients: int, *, pause_s: float = 0.0, tokens: int = 6) -> None:
        self.seen: Counter[str] = Counter()  # answered, cut, a status, or the name of an error
        self.answered: list[str] = []  # request ids
        self.longest_s = 0.0
        self._url, self._key, self._pause_s, self._tokens = url, key, pause_s, tokens
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    @property
    def failed(self) -> dict[str, int]:
        """Everything but answers, by what it was."""
        return {what: count for what, count in self.seen.items() if what != "answered"}

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)
            assert not thread.is_alive(), "a request hangs past its client's patience"

    def _run(self, number: int) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=PATIENCE_S, **PLAIN) as client:
            while not self._stop.wait(self._pause_s):
                number += 1
                began = time.monotonic()
                try:
                    what, request_id = self._ask(client, stream=number % 2 == 0)
                except httpx.HTTPError as error:
                    what, request_id = type(error).__name__, ""
                self._count(what, request_id, time.monotonic() - began)

    def _ask(self, client: httpx.Client, *, stream: bool) -> tuple[str, str]:
        body: dict[str, Any] = {
            "model": "llama3.2",
            "messages": [{"role": "user", "content": "one two three"}],
            "stream": stream,
            "options": {"num_predict": self._tokens},
        }
        with client.stream("POST", "/api/chat", json=body) as reply:
            text = reply.read()
            if reply.status_code != 200:
                return str(reply.status_code), ""
            return ("answered" if END in text else "cut"), reply.headers["x-request-id"]

    def _count(self, what: str, request_id: str, took_s: float) -> None:
        with self._lock:
            self.seen[what] += 1
            self.longest_s = max(self.longest_s, took_s)
            if what == "answered":
                self.answered.append(request_id)

"""A load that keeps account of what each client saw: which requests ended whole in its hands."""

from __future__ import annotations

import threading
from typing import Any

import httpx

from tests.bridge.served import BODIES
from tests.serving import Bridge

END = {"/api/chat": b'"done":true', "/v1/chat/completions": b"data: [DONE]", "/v1/messages": b"message_stop"}
RECONNECT_S = 0.05


class Load:
    """So many connections, each sending one request after another, streams and whole answers in turn."""

    def __init__(self, bridge: Bridge, key: str, connections: int) -> None:
        self.bridge = bridge
        self.key = key
        self.finished: list[str] = []  # request ids that the client saw end well
        self.begun: list[str] = []  # those whose headers it saw
        self.refusals: list[int] = []  # other statuses than 200
        self.texts: list[str] = []  # what those said
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(connections)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int) -> None:
        count = number
        with self.bridge.client(self.key) as client:
            while not self._stop.is_set():
                route = sorted(END)[count % len(END)]
                stream = count // len(END) % 2 == 0
                count += 1
                try:
                    self._ask(client, route, stream=stream)
                except httpx.TransportError:
                    self._stop.wait(RECONNECT_S)

    def _ask(self, client: httpx.Client, route: str, *, stream: bool) -> None:
        body: dict[str, Any] = {"model": "llama3.2", "stream": stream, **BODIES[route]}
        with client.stream("POST", route, json=body) as reply:
            if reply.status_code != 200:
                text = reply.read()
                with self._lock:
                    self.refusals.append(reply.status_code)
                    self.texts.append(text.decode())
                return
            request_id = reply.headers["x-request-id"]
            with self._lock:
                self.begun.append(request_id)
            body_seen = b""
            for chunk in reply.iter_raw():
                body_seen += chunk
                if stream and END[route] in body_seen:
                    self._ended(request_id)
                    return
            if not stream:
                self._ended(request_id)

    def _ended(self, request_id: str) -> None:
        with self._lock:
            self.finished.append(request_id)

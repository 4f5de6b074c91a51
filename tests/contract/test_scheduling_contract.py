"""How a node shares its memory: eviction, reloads, unloads of busy models.

A real node takes part when OLLAMA_TEST_OTHER_MODELS names three more models (of other weights), and it
runs with one slot and room for three models: OLLAMA_NUM_PARALLEL=1, OLLAMA_MAX_LOADED_MODELS=3.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from scheduler.simulator.process import NodeProcess
from tests.contract.conftest import NODES, REAL_MODEL, REAL_URL

pytestmark = pytest.mark.contract
OTHERS = [name for name in os.environ.get("OLLAMA_TEST_OTHER_MODELS", "").split(",") if name]
FOREVER = -1


class Crew:
    """A node with four models a, b, c and d, nothing loaded."""

    def __init__(self, url: str, names: list[str]) -> None:
        self.url = url
        self.names = dict(zip("abcd", names, strict=True))
        self.client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        self.client.close()

    def ask(self, model: str, *, timeout: float = 60, **fields: Any) -> dict[str, Any]:
        """One short generation."""
        body = {"model": self.names[model], "prompt": "hi", "stream": False, **fields}
        body["options"] = {"num_predict": 2, **fields.get("options", {})}
        answer: dict[str, Any] = self.client.post("/api/generate", json=body, timeout=timeout).json()
        assert "error" not in answer, answer
        return answer

    def load(self, model: str, *, timeout: float = 60, **fields: Any) -> None:
        body = {"model": self.names[model], **fields}
        answer = self.client.post("/api/generate", json=body, timeout=timeout)
        assert answer.json().get("done_reason") == "load", answer.text

    def unload(self, model: str) -> None:
        answer = self.client.post("/api/generate", json={"model": self.names[model], "keep_alive": 0})
        assert answer.json()["done_reason"] == "unload"

    def loaded(self) -> str:
        """The letters of the models in /api/ps."""
        listed = {entry["name"] for entry in self.client.get("/api/ps").json()["models"]}
        full = {letter: name if ":" in name else f"{name}:latest" for letter, name in self.names.items()}
        return "".join(letter for letter, name in sorted(full.items()) if name in listed)

    def becomes(self, letters: str) -> None:
        until(lambda: self.loaded() == letters, lambda: f"loaded are {self.loaded()!r}, not {letters!r}")

    def busy(self, model: str, **fields: Any) -> Busy:
        return Busy(self, self.names[model], fields)

    def in_background(self, action: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=action, daemon=True)
        thread.start()
        return thread


class Busy:
    """A generation that runs until the block is left."""

    def __init__(self, crew: Crew, model: str, fields: dict[str, Any]) -> None:
        self._url = f"{crew.url}/api/generate"
        self._body = {"model": model, "prompt": "go on", "options": {"num_predict": 30_000}, **fields}
        self._running = threading.Event()
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        with httpx.stream("POST", self._url, json=self._body, timeout=60, trust_env=False) as answer:
            for _ in answer.iter_lines():
                self._running.set()
                if self._leave.is_set():
                    return

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._running.wait(30), "the generation did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        self._thread.join(30)


def until(condition: Callable[[], bool], complaint: Callable[[], str]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.02)


@pytest.fixture(scope="module", params=NODES)
def shared_crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    if request.param == "real":
        if len(OTHERS) != 3:
            pytest.skip("OLLAMA_TEST_OTHER_MODELS does not name three models")
        with closing(Crew(REAL_URL, [REAL_MODEL, *OTHERS])) as crew:
            yield crew
        return
    flags = {"load_fixed": 0.02, "vram_recovery": 0.01, "tps": 200, "prefill_tps": 0, "load_gbps": 100}
    models = ",".join(f"{name}=1+completion@4096" for name in ("a", "b", "c", "d"))
    with (
        NodeProcess(models, ollama_version=request.param, max_loaded=3, **flags) as process,
        closing(Crew(process.url, ["a", "b", "c", "d"])) as crew,
    ):
        yield crew


@pytest.fixture
def crew(shared_crew: Crew) -> Crew:
    for letter in "abcd":
        shared_crew.unload(letter)
    shared_crew.becomes("")
    return shared_crew


def test_three_models_are_loaded_at_most(crew: Crew) -> None:
    for letter in "abcd":
        crew.load(letter)
    assert len(crew.loaded()) == 3
    assert "d" in crew.loaded()


def test_the_smallest_keep_alive_is_evicted_whoever_was_used_last(crew: Crew) -> None:
    crew.load("a", keep_alive="10m")
    crew.load("b", keep_alive="5m")
    crew.load("c", keep_alive="10m")
    crew.ask("b")
    crew.load("d", keep_alive="10m")
    crew.becomes("acd")


def test_keep_alive_for_ever_is_evicted_last_but_is_no_pin(crew: Crew) -> None:
    crew.load("a", keep_alive=FOREVER)
    crew.load("b", keep_alive="10m")
    crew.load("c", keep_alive=FOREVER)
    crew.load("d", keep_alive=FOREVER)
    crew.becomes("acd")
    crew.load("b", keep_alive=FOREVER)
    assert "b" in crew.loaded()
    assert len(crew.loaded()) == 3


def test_an_idle_model_is_evicted_before_a_busy_one(crew: Crew) -> None:
    crew.load("b", keep_alive=FOREVER)
    crew.load("c", keep_alive=FOREVER)
    with crew.busy("a", keep_alive="1m"):
        crew.load("d", keep_alive=FOREVER)
        assert "a" in crew.loaded()


def test_an_unload_of_a_busy_model_is_answered_at_once_and_done_later(crew: Crew) -> None:
    with crew.busy("a", keep_alive="10m"):
        crew.unload("a")
        assert crew.loaded() == "a"
    crew.becomes("")


def test_a_marked_model_is_revived_by_a_request_with_keep_alive(crew: Crew) -> None:
    with crew.busy("a", keep_alive="10m"):
        crew.unload("a")
        revival = crew.in_background(lambda: crew.ask("a", keep_alive="10m"))
        time.sleep(0.3)  # it waits for the slot, which tells nobody
    revival.join(30)
    time.sleep(0.3)  # an unload would have been done by now
    assert crew.loaded() == "a"


def test_a_marked_model_is_not_revived_by_a_request_without_keep_alive(crew: Crew) -> None:
    with crew.busy("a", keep_alive="10m"):
        crew.unload("a")
        follower = crew.in_background(lambda: crew.ask("a"))
        time.sleep(0.3)
    follower.join(30)
    crew.becomes("")


def test_a_reload_waits_for_what_runs_and_blocks_every_load_behind_it(crew: Crew) -> None:
    crew.load("b")
    with crew.busy("a", keep_alive="10m"):
        reload = crew.in_background(lambda: crew.ask("a", options={"num_ctx": 512}))
        time.sleep(0.3)
        behind = crew.in_background(lambda: crew.load("c"))
        crew.ask("b")  # a loaded model goes on
        time.sleep(0.3)
        assert reload.is_alive()
        assert behind.is_alive()
    reload.join(30)
    behind.join(30)
    assert not behind.is_alive()
    crew.becomes("abc")


def test_a_revived_victim_blocks_all_loads_until_something_else_is_unloaded(crew: Crew) -> None:
    """ollama#17408, in the versions that have it."""
    crew.load("b", keep_alive=FOREVER)
    crew.load("c", keep_alive=FOREVER)
    with crew.busy("a", keep_alive="10m"), crew.busy("b"), crew.busy("c"):
        load = crew.in_background(lambda: crew.load("d"))
        time.sleep(0.3)
        revival = crew.in_background(lambda: crew.ask("a", keep_alive="10m"))
        time.sleep(0.3)
    revival.join(30)
    crew.ask("a")
    time.sleep(0.5)
    assert load.is_alive()
    assert crew.loaded() == "abc"
    crew.unload("b")
    load.join(30)
    assert not load.is_alive()
    crew.becomes("acd")


def test_a_client_that_leaves_a_waiting_load_lets_the_next_one_through(crew: Crew) -> None:
    with crew.busy("a"), crew.busy("b"), crew.busy("c"), pytest.raises(httpx.ReadTimeout):
        crew.load("d", timeout=0.3)
    crew.load("d", keep_alive=FOREVER)
    assert "d" in crew.loaded()


def test_requests_for_one_slot_are_served_one_after_the_other(crew: Crew) -> None:
    with crew.busy("a"):
        waiting = crew.in_background(lambda: crew.ask("a"))
        time.sleep(0.3)
        assert waiting.is_alive()
    waiting.join(30)
    assert not waiting.is_alive()

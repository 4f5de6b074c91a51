"""A fleet on real PostgreSQL and Redis is one bridge: what three processes count together is exact."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis

from tests.chaos.load import Load
from tests.deploy.proxy import Nginx
from tests.fleet.production import LINE, SLOTS, WEBS, Production, chat, ids, statuses
from tests.fleet.steady import Steady
from tests.postgres import PostgresServer, rows
from tests.scheduler.board.conftest import start_redis
from tests.serving import PATIENCE_S, ROOT

pytestmark = pytest.mark.chaos

REVOKED_WITHIN_S = 1.0
BUDGET = 400
KEYS: dict[str, dict[str, object]] = {
    "many": {"priority": 2},
    "rate": {"requests_per_minute": 12, "priority": 2},
    "parallel": {"parallel": 3},
    "line": {"priority": 2},
    "budget": {"budget_tokens_day": BUDGET, "priority": 2},
    "revoked": {},
    "killed": {},
    "crashed": {},
    "rolled": {"priority": 2},
}


@pytest.fixture(scope="module")
def production(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Production]:
    with ExitStack() as stack:
        board = start_redis(tcp=True)
        stack.callback(board.close)
        data = tmp_path_factory.mktemp("production") / "data"
        yield Production(stack, data, postgres_server, board, KEYS)


class Held:
    """Streams of qwen3, which one node has: the first of them hang there until enough others were refused."""

    def __init__(self, production: Production, key: str, *, hanging: int, refused: int) -> None:
        self._production, self._key = production, key
        self._refused = threading.Semaphore(0)
        self._go_on = threading.Event()
        self._wanted = refused
        production.nodes[0].arm("hang", model="qwen3", count=hanging, after=1)

    def ask(self, count: int) -> list[httpx.Response]:
        """The responses to so many streams at once; those that hang are left by their clients."""
        with ThreadPoolExecutor(count) as pool:
            asking = [pool.submit(self._one, number) for number in range(count)]
            for _ in range(self._wanted):
                assert self._refused.acquire(timeout=PATIENCE_S), [each.done() for each in asking]
            self._go_on.set()
            return [each.result() for each in asking]

    def _one(self, number: int) -> httpx.Response:
        web = self._production.webs[number % WEBS]
        body = chat(4, "qwen3")
        with web.client(self._key) as client, client.stream("POST", "/api/chat", json=body) as reply:
            if reply.status_code != 200:
                self._refused.release()
                reply.read()
            elif self._go_on.is_set():
                reply.read()
            else:
                self._go_on.wait(PATIENCE_S)
            return reply


def test_no_slot_is_given_twice_and_every_request_has_one_record(production: Production) -> None:
    key = production.keys["many"]
    assert production.ask(key, 0).status_code == 200
    for node in production.nodes:
        node.reset()
    with ThreadPoolExecutor(SLOTS * 2) as pool:
        replies = list(pool.map(lambda number: production.ask(key, number, tokens=8), range(60)))
    assert statuses(replies) == {200: 60}
    records = production.accounted(ids(replies))
    reports = [node.report() for node in production.nodes]
    assert sum(report["completed"] for report in reports) == 60, "the nodes gave as many answers"
    assert max(report["peak_in_flight"].get("llama3.2:latest", 0) for report in reports) <= SLOTS
    assert sum(report["reloads_total"] for report in reports) == 0
    assert {record["outcome"] for record in records} == {"answered"}
    assert {record["output_tokens"] for record in records} == {8}


def test_the_requests_of_a_minute_are_counted_over_all_processes(production: Production) -> None:
    key = production.keys["rate"]
    replies = production.ask_all(key, 20)
    assert statuses(replies) == {200: 12, 429: 8}
    outcomes = [record["outcome"] for record in production.accounted(ids(replies))]
    assert (outcomes.count("answered"), outcomes.count("refused")) == (12, 8)


def test_requests_at_once_are_counted_over_all_processes(production: Production) -> None:
    key = production.keys["parallel"]
    assert production.ask(key, 0, model="qwen3").status_code == 200
    replies = Held(production, key, hanging=3, refused=9).ask(12)
    assert statuses(replies) == {200: 3, 429: 9}
    outcomes = Counter(record["outcome"] for record in production.accounted(ids(replies)))
    assert outcomes == {"cancelled": 3, "refused": 9}
    assert statuses(production.ask_all(key, 3, model="qwen3")) == {200: 3}, "all three were given back"


def test_a_line_takes_what_its_bound_says_over_all_processes(production: Production) -> None:
    key = production.keys["line"]
    assert production.ask(key, 0, model="qwen3").status_code == 200
    production.nodes[0].reset()
    replies = Held(production, key, hanging=SLOTS, refused=7).ask(SLOTS + LINE + 7)
    assert statuses(replies) == {200: SLOTS + LINE, 503: 7}
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies if reply.status_code == 503)
    assert production.nodes[0].report()["peak_in_flight"]["qwen3:latest"] == SLOTS
    ends = Counter((each["outcome"], each["reason"]) for each in production.accounted(ids(replies)))
    left, answered, refused = ("cancelled", "client_left"), ("answered", "length"), ("refused", "queue_full")
    assert ends == {left: SLOTS, answered: LINE, refused: 7}


def test_a_budget_is_never_overdrawn_and_the_board_knows_what_the_records_say(
    production: Production,
) -> None:
    key = production.keys["budget"]
    replies = production.ask_all(key, 30, tokens=30)
    assert set(statuses(replies)) == {200, 429}
    production.accounted(ids(replies))
    (answer,) = rows(
        production.database,
        "SELECT sum(prompt_tokens + output_tokens) AS tokens FROM bridge_usagerecord WHERE key = %s",
        key.split("_")[1],
    )
    assert answer["tokens"] <= BUDGET
    used, reserved = on_the_board(production, key)
    assert (used, reserved) == (answer["tokens"], 0)


def on_the_board(production: Production, key: str) -> tuple[int, int]:
    """Tokens used and reserved of the key's daily budget, as Redis has them once nothing runs."""
    with redis.Redis.from_url(production.redis.url, decode_responses=True) as client:
        (name,) = client.keys(f"*budget:{key.split('_')[1]}|day*")
        production.web.until(lambda: int(client.hget(name, "reserved") or 0) == 0)
        return int(client.hget(name, "used") or 0), int(client.hget(name, "reserved") or 0)


def test_a_revocation_is_known_to_every_process_within_a_second_of_its_row(production: Production) -> None:
    key = production.keys["revoked"]
    name = key.split("_")[1]
    query = "SELECT 1 FROM bridge_apikey WHERE public_id = %s AND revoked_at IS NOT NULL"
    with subprocess.Popen(
        [sys.executable, "manage.py", "revokekey", name],
        cwd=ROOT,
        env=production.web.env,
        stdout=subprocess.DEVNULL,
    ) as command:
        production.web.until(lambda: rows(production.database, query, name))
        written = time.monotonic()
        for web in production.webs:
            web.until(lambda web=web: web.get("/v1/models", key).status_code == 401)
        assert time.monotonic() - written < REVOKED_WITHIN_S
    assert command.returncode == 0


def test_what_a_killed_process_answered_is_recorded_by_the_others(production: Production) -> None:
    key = production.keys["killed"]
    victim = production.webs[-1]
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(web, key, 2)) for web in production.webs]
        production.web.until(lambda: all(len(load.finished) >= 15 for load in loads))
        victim.kill()
        goals = [len(load.finished) + 15 for load in loads[:-1]]
        production.web.until(
            lambda: all(len(load.finished) >= goal for load, goal in zip(loads, goals, strict=False))
        )
    for load in loads:
        assert load.refusals == []
        assert {r["outcome"] for r in production.accounted(load.finished)} == {"answered"}
    victim.start()


def test_a_crash_of_postgresql_costs_neither_an_answer_nor_a_record(production: Production) -> None:
    key = production.keys["crashed"]
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(web, key, 2)) for web in production.webs]
        production.web.until(lambda: all(len(load.finished) >= 10 for load in loads))
        production.postgres.stop(signal.SIGQUIT)
        goals = [len(load.finished) + 20 for load in loads]
        production.web.until(
            lambda: all(len(load.finished) >= goal for load, goal in zip(loads, goals, strict=True))
        )
        production.postgres.start()
    for load in loads:
        assert load.refusals == []
        assert {r["outcome"] for r in production.accounted(load.finished)} == {"answered"}


def test_a_rolling_restart_behind_nginx_fails_no_request(production: Production, tmp_path: Path) -> None:
    addresses = [f"127.0.0.1:{web.port}" for web in production.webs]
    nginx = Nginx(tmp_path / "nginx", addresses).start()
    try:
        with Steady(nginx.url, production.keys["rolled"], 6) as load:
            production.web.until(lambda: load.seen["answered"] > 60)
            for web in production.webs:
                assert web.stop() == 0
                web.start()
            goal = load.seen["answered"] + 60
            production.web.until(lambda: load.seen["answered"] > goal)
        assert load.failed == {}
        assert {r["outcome"] for r in production.accounted(load.answered)} == {"answered"}
    finally:
        nginx.close()

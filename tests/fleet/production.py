"""A fleet as it runs in production: PostgreSQL, Redis, three web processes, two schedulers, three nodes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from scheduler.simulator.process import NodeProcess
from tests.conftest import QUICK
from tests.fleet.conftest import Scheduler
from tests.postgres import PostgresServer, rows
from tests.scheduler.board.server import RedisServer
from tests.serving import Bridge

WEBS = 3
SLOTS = 4
LINE = 10  # BRIDGE_QUEUE_LIMIT_MODEL
# One process for all keys: each start of a command costs a second.
ISSUE = """
import json
from bridge.models import Actor, ApiKey
made = {{name: ApiKey.objects.issue(actor=Actor.at_shell(), name=name, **fields)[1]
        for name, fields in {!r}.items()}}
print(json.dumps(made))
"""


class PostgresBridge(Bridge):
    """A web process whose records lie in PostgreSQL."""

    def __init__(self, data_dir: Path, *, nodes: list[str], **env: str) -> None:
        super().__init__(data_dir, nodes=nodes, **env)
        self.log = data_dir / f"serve-{self.port}.log"
        self.database = env["DATABASE_URL"]

    def records(self, **where: Any) -> list[dict[str, Any]]:
        condition = " AND ".join(f"{name} = %s" for name in where) or "TRUE"
        query = f"SELECT * FROM bridge_usagerecord WHERE {condition} ORDER BY at, id"
        return rows(self.database, query, *where.values())


class Production:
    """Everything as processes; `ask` sends a request to one web process after the other."""

    def __init__(
        self,
        stack: ExitStack,
        data: Path,
        postgres: PostgresServer,
        redis: RedisServer,
        keys: Mapping[str, Mapping[str, object]],
    ) -> None:
        """`keys`: the name of each key and its fields."""
        self.postgres = postgres
        self.redis = redis
        self.database = postgres.database()
        flags: dict[str, Any] = {**QUICK, "slots": SLOTS}
        models = ("llama3.2=2,qwen3=5", "llama3.2=2", "llama3.2=2")
        self.nodes = [stack.enter_context(NodeProcess(each, vram_gib=24, **flags)) for each in models]
        env = {
            "DATABASE_URL": self.database,
            "REDIS_URL": redis.url,
            "BRIDGE_DEFAULT_SLOTS": str(SLOTS),
            "BRIDGE_QUEUE_LIMIT_MODEL": str(LINE),
            "BRIDGE_TRUSTED_PROXIES": "127.0.0.1",
            "BRIDGE_HEARTBEAT": "60s",  # a stream that has its headers has a seat
        }
        data.mkdir()
        urls = [node.url for node in self.nodes]
        self.webs = [PostgresBridge(data, nodes=urls, **env) for _ in range(WEBS)]
        for web in self.webs:
            stack.callback(web.close)
        self.web.manage("synccatalog")
        self.keys: dict[str, str] = json.loads(
            self.web.manage("shell", "-v", "0", "-c", ISSUE.format(dict(keys)))
        )
        self.schedulers = [Scheduler(self.web) for _ in range(2)]
        for scheduler in self.schedulers:
            stack.callback(scheduler.close)
        with ThreadPoolExecutor(WEBS) as pool:
            list(pool.map(PostgresBridge.start, self.webs))

    @property
    def web(self) -> PostgresBridge:
        return self.webs[0]

    def ask(self, key: str, number: int, *, tokens: int = 4, **more: Any) -> httpx.Response:
        """One whole chat at the web process whose turn it is."""
        with self.webs[number % WEBS].client(key) as client:
            return client.post("/api/chat", json=chat(tokens) | {"stream": False} | more)

    def ask_all(self, key: str, count: int, **more: Any) -> list[httpx.Response]:
        """So many at once, evenly over the web processes."""
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda number: self.ask(key, number, **more), range(count)))

    def accounted(self, request_ids: Iterable[str]) -> list[dict[str, Any]]:
        """The records of these requests, once they are there: exactly one each."""
        wanted = set(request_ids)
        self.web.until(lambda: wanted <= {record["request_id"] for record in self.web.records()})
        found = [record for record in self.web.records() if record["request_id"] in wanted]
        assert max(Counter(record["request_id"] for record in found).values()) == 1
        return found


def chat(tokens: int, model: str = "llama3.2") -> dict[str, Any]:
    message = {"role": "user", "content": "one two three"}
    return {"model": model, "messages": [message], "options": {"num_predict": tokens}}


def statuses(replies: Iterable[httpx.Response]) -> Counter[int]:
    return Counter(reply.status_code for reply in replies)


def ids(replies: Iterable[httpx.Response]) -> list[str]:
    return [reply.headers["x-request-id"] for reply in replies]

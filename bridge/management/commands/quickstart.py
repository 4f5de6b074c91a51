"""`quickstart`: from a fresh clone to a served completion, with nothing to install beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.markup import escape

from bridge import firstrun, server
from bridge.env import VALUES as ENV
from bridge.env import public_url
from scheduler.catalogue.sync import sync
from scheduler.models import CatalogModel, Node
from scheduler.simulator.process import NodeProcess

DEMO_MODELS = "llama3.2=2,qwen3=5.2,nomic-embed-text=0.27"
PROOF = "Say hello to the operator of this bridge in one short sentence."


class Command(BaseCommand):
    help = "Set up what is missing, prove it with one completion, and serve. Running it again is harmless."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--demo", action="store_true", help="use the built-in fake node, even beside an Ollama"
        )
        parser.add_argument("--exit", action="store_true", help="stop after the proof instead of serving on")

    def handle(self, *args: Any, **options: Any) -> None:
        self.console = Console(soft_wrap=True, highlight=False)
        try:
            self.socket = server.listen(ENV["BRIDGE_HOST"], ENV["BRIDGE_PORT"])
        except OSError as error:
            raise CommandError(server.unavailable(ENV["BRIDGE_HOST"], ENV["BRIDGE_PORT"], error)) from None
        with self.step("Preparing the database and the secrets", f"Data in {settings.DATA_DIR}"):
            firstrun.migrate()
        quiet()
        with nodes(self, demo=options["demo"]):
            with self.step("Reading the models of the nodes", "Models read into the catalogue"):
                asyncio.run(sync())
            link, key = firstrun.operator_link(), firstrun.first_key()
            server.end_well_on_sigterm()
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(self.serve(link, key, leave=options["exit"]))

    @contextlib.contextmanager
    def step(self, doing: str, done: str) -> Iterator[None]:
        """Say what is being done while it is, and what was done after it."""
        with self.console.status(f"{doing} ..."):
            yield
        self.say("ok", done)

    def say(self, mark: str, text: str) -> None:
        colour = {"ok": "green", "note": "yellow", "fail": "red"}[mark]
        self.console.print(f"[{colour}]{mark:>4}[/]  {escape(text)}")

    async def serve(self, link: str | None, key: str | None, *, leave: bool) -> None:
        """Serve until Ctrl-C; the proof runs against the served address, as a client would."""
        web = server.WebServer(server.config())
        serving = asyncio.create_task(web.serve([self.socket]))
        while not web.started and not serving.done():  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.05)
        if serving.done():
            await serving  # says why
            raise CommandError("The server ended while it started.")
        try:
            await self.welcome(link, key)
        finally:
            if leave:
                web.should_exit = True
        await serving

    async def welcome(self, link: str | None, key: str | None) -> None:
        model = await asyncio.to_thread(smallest_model)
        if key and model:
            await self.prove(key, model)
        elif not model:
            self.say("note", "No node has a model yet. Get one with: ollama pull llama3.2")
        self.show(link, key, model or "llama3.2")

    async def prove(self, key: str, model: str) -> None:
        """Stream one completion through the bridge into the terminal."""
        self.console.print(f"\n[bold]A first completion through the bridge[/] ({escape(model)}):\n  ", end="")
        body = {
            "model": model,
            "messages": [{"role": "user", "content": PROOF}],
            "options": {"num_predict": 40},
        }
        headers = {"Authorization": f"Bearer {key}"}
        timeout = httpx.Timeout(30.0, read=None)
        async with (
            httpx.AsyncClient(
                base_url=public_url(), headers=headers, timeout=timeout, trust_env=False
            ) as client,
            client.stream("POST", "/api/chat", json=body) as reply,
        ):
            async for line in reply.aiter_lines():
                self.console.print(escape(words_of(line)), end="")
        self.console.print()

    def show(self, link: str | None, key: str | None, model: str) -> None:
        """Everything that a new user needs, on one screen."""
        url, console = public_url(), self.console
        console.print(f"\n[bold]Ollama Bridge is serving on {url}[/]  (Ctrl-C ends it)\n")
        if link:
            console.print(f"  Admin, signs you in once:  {link}")
        else:
            console.print(f"  Admin:  {url}/admin/")
        if key:
            console.print(f"  API key, shown only now:   {key}\n")
        else:
            console.print("  API keys were made before; another one: python manage.py createkey NAME\n")
        shown = key or "$OLLAMA_BRIDGE_KEY"
        payload = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
        console.print("  Try it:")
        console.print(f'    curl {url}/v1/chat/completions -H "Authorization: Bearer {shown}" \\')
        console.print(f"      -H 'Content-Type: application/json' -d '{escape(payload)}'\n")
        console.print(f"  OpenAI clients:     OPENAI_BASE_URL={url}/v1  OPENAI_API_KEY={shown}")
        console.print(f"  Anthropic clients:  ANTHROPIC_BASE_URL={url}  ANTHROPIC_API_KEY={shown}")
        console.print(f"  Ollama clients:     OLLAMA_HOST={url}/k/{shown}\n")


def quiet() -> None:
    """This screen is for people: only warnings between its lines. In the settings too, since the ASGI module
    sets logging up once more."""
    settings.LOGGING["root"]["level"] = "WARNING"
    logging.getLogger().setLevel(logging.WARNING)


@contextlib.contextmanager
def nodes(command: Command, *, demo: bool) -> Iterator[None]:
    """The Ollama that is there, or the fake node for as long as this runs."""
    with command.console.status("Looking for an Ollama ..."):
        found = [] if demo else firstrun.find_ollama(firstrun.candidates())
    if found:
        for each in found:
            command.say("ok", f"Ollama {each.version} at {each.url}")
        firstrun.use_nodes([each.url for each in found])
        yield
        return
    known = Node.objects.exclude(name=firstrun.DEMO_NODE).count()
    if known and not demo:
        command.say("note", f"No Ollama answers now; {known} known nodes are tried again while serving.")
        yield
        return
    if not demo:
        looked = ", ".join(firstrun.candidates())
        command.say("note", f"No Ollama found (looked at {looked}; OLLAMA_URL names another).")
    command.say("note", "Starting the built-in fake node: it answers like Ollama, with made-up words.")
    size = {"vram_gib": 24, "slots": 4}
    with NodeProcess(DEMO_MODELS, load_gbps=4, tps=60, **size) as node:
        firstrun.use_demo_node(node.url, **size)
        yield


def smallest_model() -> str | None:
    """The quickest one to load that can chat. Runs in a thread: it queries."""
    rows = CatalogModel.objects.filter(enabled=True, copies__node__enabled=True).order_by("size_bytes")
    names = [row.name for row in rows if not row.is_embedding_only]
    return names[0].removesuffix(":latest") if names else None


def words_of(line: str) -> str:
    """What a line of /api/chat adds to the answer; an error line as it is."""
    reply = json.loads(line)
    if "error" in reply:
        return f"[failed: {reply['error']}]"
    message = reply.get("message") or {}
    return str(message.get("thinking") or "") + str(message.get("content") or "")

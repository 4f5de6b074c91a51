"""The command line of the simulated node: `manage.py simulate_ollama` or `python -m scheduler.simulator`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Sequence

import uvicorn

from scheduler.simulator.config import GIB, NodeConfig
from scheduler.simulator.driver import Driver
from scheduler.simulator.durations import environment_keep_alive
from scheduler.simulator.faults import KINDS, Switchboard, parse_fault
from scheduler.simulator.generation import Generation
from scheduler.simulator.installed import parse_models
from scheduler.simulator.node import Node
from scheduler.simulator.server import Application
from scheduler.simulator.simulator import Behaviour, Simulator

_IDLE_S = 86400  # Go's server keeps idle connections open
DEFAULT_MODELS = "llama3.2=2,qwen3:8b=5.2,nomic-embed-text=0.27"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every flag, with the environment variable of Ollama that it stands for."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to bind (default %(default)s)")
    add("--port", type=int, default=11434, help="0 takes a free one, which is printed (default %(default)s)")
    add(
        "--models",
        default=DEFAULT_MODELS,
        metavar="NAME=GB,…",
        help="installed models: NAME=GB[+CAPABILITY…][@CONTEXT] or ALIAS=@NAME (default %(default)s)",
    )
    add("--registry", default="", metavar="NAME=GB,…", help="models that /api/pull can get, in the same form")
    add("--ollama-version", default="0.32.15", help="behave like this version (default %(default)s)")
    _add_hardware(parser)
    _add_environment(parser)
    _add_speed(parser)
    add(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[:MODEL[:COUNT[:VALUE]]]",
        help=f"arm a fault: {', '.join(KINDS)}",
    )
    add(
        "--until-stdin-closes", action="store_true", help="end when standard input ends (for child processes)"
    )


def _add_hardware(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("hardware").add_argument
    add("--vram", type=float, default=24.0, metavar="GiB", help="of all GPUs together (default %(default)s)")
    add("--gpus", type=int, default=1, help="(default %(default)s)")
    add(
        "--ram",
        type=float,
        default=64.0,
        metavar="GiB",
        help="host memory for spilled layers (default %(default)s)",
    )


def _add_environment(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("Ollama's environment").add_argument
    add("--slots", type=int, default=1, help="OLLAMA_NUM_PARALLEL (default %(default)s)")
    add("--context-length", type=int, default=0, help="OLLAMA_CONTEXT_LENGTH; 0 follows the VRAM")
    add("--keep-alive", default="5m", help="OLLAMA_KEEP_ALIVE (default %(default)s)")
    add("--max-loaded", type=int, default=0, help="OLLAMA_MAX_LOADED_MODELS; 0 is 3 for each GPU")
    add("--max-queue", type=int, default=512, help="OLLAMA_MAX_QUEUE (default %(default)s)")
    add("--kv-type", choices=("f16", "q8_0", "q4_0"), default="f16", help="OLLAMA_KV_CACHE_TYPE")
    add("--no-cloud", action="store_true", help="OLLAMA_NO_CLOUD")


def _add_speed(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("speed").add_argument
    add(
        "--load-gbps",
        type=float,
        default=4.0,
        metavar="GB/s",
        help="bandwidth of loads (default %(default)s)",
    )
    add(
        "--load-fixed",
        type=float,
        default=0.25,
        metavar="S",
        help="seconds of any load (default %(default)s)",
    )
    add(
        "--vram-recovery",
        type=float,
        default=0.25,
        metavar="S",
        help="until freed VRAM shows (default %(default)s)",
    )
    add(
        "--tps",
        type=float,
        default=50.0,
        help="tokens a second; 0 is as fast as possible (default %(default)s)",
    )
    add(
        "--prefill-tps",
        type=float,
        default=2000.0,
        help="prompt tokens a second; 0 is no delay (default %(default)s)",
    )
    add(
        "--answer-tokens", type=int, default=24, help="of an answer without num_predict (default %(default)s)"
    )
    add(
        "--pull-gbps",
        type=float,
        default=1.0,
        metavar="GB/s",
        help="bandwidth of pulls (default %(default)s)",
    )
    add(
        "--time-scale", type=float, default=1.0, help="the node's seconds in one second (default %(default)s)"
    )


def node_config(args: argparse.Namespace) -> NodeConfig:
    """Raises ValueError for a version or keep_alive that cannot be read."""
    return NodeConfig(
        generation=Generation.of(args.ollama_version),
        vram=int(args.vram * GIB),
        gpus=args.gpus,
        ram=int(args.ram * GIB),
        slots=args.slots,
        max_loaded=args.max_loaded,
        max_queue=args.max_queue,
        context_length=args.context_length,
        keep_alive_s=environment_keep_alive(args.keep_alive),
        kv_type=args.kv_type,
        load_fixed_s=args.load_fixed,
        load_bytes_per_s=args.load_gbps * 1e9,
        vram_recovery_s=args.vram_recovery,
        tokens_per_s=args.tps,
        prefill_tokens_per_s=args.prefill_tps,
    )


def application(args: argparse.Namespace) -> Application:
    """The node as an ASGI application. Raises ValueError for flags that cannot be read."""
    config = node_config(args)
    models = parse_models(args.models)
    board = Switchboard(parse_fault(text) for text in args.fault)
    behaviour = Behaviour(
        answer_tokens=args.answer_tokens,
        no_cloud=args.no_cloud,
        local_only=args.host in ("127.0.0.1", "::1", "localhost"),
        pull_bytes_per_s=args.pull_gbps * 1e9,
        registry=parse_models(args.registry),
    )

    def make() -> Simulator:
        node = Node(config, models.values(), board)
        return Simulator(Driver(node, scale=args.time_scale), board, behaviour)

    return Application(make)


def run(args: argparse.Namespace) -> None:
    """Serve until a signal comes. Prints one line when it listens."""
    app = application(args)
    listener = _listen(args.host, args.port)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=0,
        timeout_keep_alive=_IDLE_S,
        ws="none",
    )
    server = uvicorn.Server(config)
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}\n")
    sys.stdout.flush()
    runner = asyncio.Runner(loop_factory=config.get_loop_factory())
    with contextlib.suppress(KeyboardInterrupt), runner:
        runner.run(_serve(server, listener, args.until_stdin_closes))


async def _serve(server: uvicorn.Server, listener: socket.socket, until_stdin_closes: bool) -> None:
    if until_stdin_closes:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _end_with_stdin, server)
    await server.serve(sockets=[listener])


def _end_with_stdin(server: uvicorn.Server) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scheduler.simulator", description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        run(args)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0

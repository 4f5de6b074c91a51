"""The environment, read once and typed: one table of settings, each with its default and its help.

`python -m bridge.env` prints the table for docs/settings.md. Any setting NAME may be given as
NAME_FILE, the path of a file that holds the value (how containers pass secrets).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class BadSetting(ValueError):
    """A setting has a value that cannot be read; the message names it and says what it takes."""


def boolean(text: str) -> bool:
    if text.strip().lower() in ("1", "true", "yes", "on"):
        return True
    if text.strip().lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("takes 1 or 0, true or false, yes or no, on or off")


def integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("takes a whole number") from None


def factors(text: str) -> str:
    if text not in ("off", "optional", "required"):
        raise ValueError("takes off, optional or required")
    return text


def mapping(text: str) -> dict[str, str]:
    """`a=b,c=d`; names may hold spaces."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(mark and theirs.strip() and ours.strip() for theirs, mark, ours in pairs):
        raise ValueError("takes pairs like llm-ops=Operator,llm-admins=Admin")
    return {theirs.strip(): ours.strip() for theirs, _, ours in pairs}


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("takes a number from 0 to 1") from None
    if not 0 <= value <= 1:
        raise ValueError("takes a number from 0 to 1")
    return value


def seconds(text: str) -> float:
    """'30', '2.5', '90s', '10m' or '1h' as seconds."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    number, factor = (text[:-1], units[text[-1]]) if text and text[-1] in units else (text, 1.0)
    try:
        value = float(number) * factor
    except ValueError:
        raise ValueError("takes seconds (30) or a duration (90s, 10m, 1h)") from None
    if not 0 <= value < float("inf"):
        raise ValueError("takes a duration that is not negative")
    return value


def size(text: str) -> int:
    """'65536', '64MiB' or '2GiB' as bytes."""
    units = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
    number, factor = (text[:-3], units[text[-3:]]) if text[-3:] in units else (text, 1)
    try:
        return int(float(number) * factor)
    except ValueError:
        raise ValueError("takes bytes (65536) or a size (64MiB, 2GiB)") from None


def words(text: str) -> tuple[str, ...]:
    """Comma or space separated words."""
    return tuple(text.replace(",", " ").split())


def one_of(*allowed: str) -> Callable[[str], str]:
    """One of these words."""

    def read(text: str) -> str:
        word = text.strip().lower()
        if word not in allowed:
            raise ValueError(f"takes {', '.join(allowed[:-1])} or {allowed[-1]}")
        return word

    return read


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    default: str
    read: Callable[[str], Any]
    help: str
    secret: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "OLLAMA_URL", "", words, "Addresses of the Ollama nodes, separated by commas; seeds the node table."
    ),
    Setting(
        "OLLAMA_HOST", "", str, "Ollama's own variable: where quickstart looks when OLLAMA_URL is empty."
    ),
    Setting(
        "OLLAMA_MODELS",
        "~/.ollama/models",
        str,
        "Ollama's own variable: where it keeps its models, for `manage.py agent`.",
    ),
    Setting(
        "DATABASE_URL",
        "",
        str,
        "postgresql://user:password@host/name; empty: SQLite in the data directory.",
        True,
    ),
    Setting("REDIS_URL", "", str, "redis://host:6379/0; empty: everything in this one process.", True),
    Setting(
        "SECRET_KEY",
        "",
        str,
        "Django's signing secret; empty: made once and kept in the data directory.",
        True,
    ),
    Setting(
        "BRIDGE_PEPPER",
        "",
        str,
        "Secret mixed into the hashes of API keys; empty: made once and kept in the data directory.",
        True,
    ),
    Setting(
        "BRIDGE_OLD_PEPPERS",
        "",
        words,
        "Earlier values of BRIDGE_PEPPER: keys made with them go on working, new keys use BRIDGE_PEPPER.",
        True,
    ),
    Setting(
        "BRIDGE_NODE_SECRET",
        "",
        str,
        "Secret that seals the headers which nodes ask for; empty: made once and kept in the data directory.",
        True,
    ),
    Setting(
        "BRIDGE_OLD_NODE_SECRETS",
        "",
        words,
        "Earlier values of BRIDGE_NODE_SECRET: what they sealed is still read, until `nodes reseal`.",
        True,
    ),
    Setting("BRIDGE_DATA_DIR", "data", str, "Where the database, the secrets and the outbox live."),
    Setting("BRIDGE_HOST", "127.0.0.1", str, "Address to listen on."),
    Setting("BRIDGE_PORT", "8080", integer, "Port to listen on."),
    Setting(
        "BRIDGE_PUBLIC_URL",
        "",
        str,
        "The address that users see, for links and snippets; empty: http://BRIDGE_HOST:BRIDGE_PORT.",
    ),
    Setting(
        "BRIDGE_WORKERS",
        "1",
        integer,
        "Web processes that `serve` starts; more than one needs REDIS_URL and DATABASE_URL.",
    ),
    Setting("BRIDGE_DEBUG", "0", boolean, "Django's debug mode; never where others can reach it."),
    Setting(
        "BRIDGE_ALLOWED_HOSTS", "localhost 127.0.0.1 [::1]", words, "Host names that the admin answers to."
    ),
    Setting(
        "BRIDGE_TRUSTED_PROXIES", "", words, "Addresses or networks whose X-Forwarded-* headers are believed."
    ),
    Setting(
        "BRIDGE_HTTPS", "0", boolean, "Users reach the admin over https: secure cookies, HSTS, redirects."
    ),
    Setting(
        "BRIDGE_TLS_CERTIFICATE",
        "",
        str,
        "Path of the certificate, with its chain, with which `serve` speaks TLS itself; empty: plain HTTP.",
    ),
    Setting("BRIDGE_TLS_KEY", "", str, "Path of the private key of BRIDGE_TLS_CERTIFICATE."),
    Setting(
        "BRIDGE_CERTIFICATE_HEADER",
        "",
        str,
        "Header in which a trusted proxy names the subject of a client's verified certificate; empty: none.",
    ),
    Setting("BRIDGE_HEAD_TIMEOUT", "15s", seconds, "Longest a request's head may take to come."),
    Setting("BRIDGE_BODY_LIMIT", "64MiB", size, "Largest request body; larger ones get a 413."),
    Setting("BRIDGE_BODY_TIMEOUT", "30s", seconds, "Longest pause before or inside a body; then a 408."),
    Setting(
        "BRIDGE_ALLOW_CLOUD",
        "0",
        boolean,
        "Let names that end in :cloud or -cloud through to nodes, which forward them to ollama.com.",
    ),
    Setting(
        "BRIDGE_QUEUE_LIMIT", "512", integer, "Requests that may wait in all; past it new ones get a 503."
    ),
    Setting(
        "BRIDGE_QUEUE_LIMIT_MODEL",
        "128",
        integer,
        "Requests that may wait for one model; past it new ones get a 503.",
    ),
    Setting("BRIDGE_DEADLINE", "10m", seconds, "Longest a request may wait for a seat before it gets a 503."),
    Setting("BRIDGE_FIRST_TOKEN_TIMEOUT", "10m", seconds, "Longest a node may take to send its first byte."),
    Setting("BRIDGE_IDLE_TIMEOUT", "5m", seconds, "Longest a node may be silent inside a stream."),
    Setting(
        "BRIDGE_SEND_TIMEOUT",
        "60s",
        seconds,
        "Longest a client may take to accept bytes before its request is cancelled.",
    ),
    Setting(
        "BRIDGE_HEARTBEAT",
        "5s",
        seconds,
        "A stream that waits longer gets its headers and heartbeats at this interval.",
    ),
    Setting("BRIDGE_KEEP_ALIVE", "-1", str, "keep_alive that the bridge sends to nodes with every call."),
    Setting(
        "BRIDGE_DEFAULT_NUM_CTX",
        "8192",
        integer,
        "Context length of a model whose catalogue entry names none.",
    ),
    Setting("BRIDGE_DEFAULT_SLOTS", "1", integer, "OLLAMA_NUM_PARALLEL of a node whose entry names none."),
    Setting(
        "BRIDGE_LOAD_TIMEOUT",
        "30s",
        seconds,
        "What any load may take; larger models and slow disks get more. Past it the node counts as hung.",
    ),
    Setting("BRIDGE_SYNC_INTERVAL", "60s", seconds, "How often the catalogue is read again from the nodes."),
    Setting(
        "BRIDGE_SCHEDULER", "auto", str, "auto: inside the web process when it is the only one; on, off."
    ),
    Setting(
        "BRIDGE_PREFETCH",
        "on",
        one_of("on", "shadow", "off"),
        "Load models before they are asked for. shadow: decide and score, but do not act.",
    ),
    Setting(
        "BRIDGE_PREDICTOR",
        "bridge",
        one_of("bridge", "seed"),
        "What foretells the next model. seed: the original rule, one chain over the last 50 requests.",
    ),
    Setting(
        "BRIDGE_WARM_LEARN",
        "hash",
        one_of("hash", "text", "off"),
        "What is kept of prompt beginnings that come often: a hash, the text too (for replays), or nothing.",
    ),
    Setting(
        "BRIDGE_AGENT_TOKEN",
        "",
        str,
        "Bearer token between the scheduler and `manage.py agent` on the nodes' machines.",
        True,
    ),
    Setting(
        "BRIDGE_AGENT_RAM",
        "0",
        size,
        "Of the page cache, what `manage.py agent` may fill with files of likely models; 0: nothing is read.",
    ),
    Setting(
        "BRIDGE_AGENT_READ_RATE", "256MiB", size, "What `manage.py agent` reads ahead in a second at most."
    ),
    Setting("BRIDGE_DRAIN_TIMEOUT", "120s", seconds, "How long open streams may go on after SIGTERM."),
    Setting(
        "BRIDGE_METRICS_TOKEN", "", str, "Bearer token for /metrics; empty: only from this machine.", True
    ),
    Setting(
        "BRIDGE_KEEP_USAGE_DAYS",
        "90",
        integer,
        "Days that usage records and hourly sums are kept, 0 for ever; the sums of days always are.",
    ),
    Setting("BRIDGE_KEEP_SAMPLES_DAYS", "30", integer, "Days that VRAM samples are kept, at least 2."),
    Setting("BRIDGE_KEEP_LEDGER_DAYS", "180", integer, "Days that ledger entries are kept, 0 for ever."),
    Setting("BRIDGE_CURRENCY", "USD", str, "What prices and budgets in money are in; only a word."),
    Setting(
        "BRIDGE_MFA",
        "off",
        factors,
        "Second factors for the admin: off, optional or required. Needs requirements/sso.txt.",
    ),
    Setting(
        "BRIDGE_OIDC_URL",
        "",
        str,
        "Single sign-on for the admin: the issuer's address, such as https://id.example.com/realms/ops;"
        " empty: none. Needs requirements/sso.txt.",
    ),
    Setting("BRIDGE_OIDC_CLIENT_ID", "", str, "The bridge's client id at the issuer."),
    Setting("BRIDGE_OIDC_CLIENT_SECRET", "", str, "Its secret.", True),
    Setting("BRIDGE_OIDC_NAME", "single sign-on", str, "What the button calls the issuer."),
    Setting("BRIDGE_OIDC_CLAIM", "groups", str, "The claim that names a person's groups at the issuer."),
    Setting(
        "BRIDGE_OIDC_ROLES",
        "",
        mapping,
        "Which of those groups are which of ours: llm-ops=Operator,llm-admins=Admin. No group, no way in.",
    ),
    Setting(
        "BRIDGE_TRACE_ENDPOINT",
        "",
        str,
        "Where OpenTelemetry spans are sent (OTLP over HTTP: http://collector:4318); empty: none. Needs"
        " requirements/tracing.txt.",
    ),
    Setting("BRIDGE_TRACE_SHARE", "1", share, "Share of the traces that begin here which are sent, 0 to 1."),
    Setting("BRIDGE_LOG_LEVEL", "INFO", str, "DEBUG, INFO, WARNING or ERROR."),
    Setting("BRIDGE_LOG_FORMAT", "auto", str, "json, text, or auto: text on a terminal, JSON in a pipe."),
    Setting(
        "BRIDGE_PROFILE", "", str, "deploy-check makes `check --deploy` judge the settings of a deployment."
    ),
)


def read(environ: Mapping[str, str]) -> dict[str, Any]:
    """Every setting's value by name. Raises BadSetting with the name and what it takes."""
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = _raw(setting.name, environ)
        try:
            values[setting.name] = setting.read(setting.default if text is None else text)
        except ValueError as error:
            raise BadSetting(f"{setting.name} {error}; it was {text!r}.") from None
    return values


def _raw(name: str, environ: Mapping[str, str]) -> str | None:
    if (path := environ.get(f"{name}_FILE")) and name not in environ:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadSetting(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from None
    return environ.get(name)


def unknown(environ: Mapping[str, str]) -> list[str]:
    """BRIDGE_* names in the environment that no setting has: most often a slip of the pen."""
    known = {s.name for s in SETTINGS} | {f"{s.name}_FILE" for s in SETTINGS}
    return sorted(name for name in environ if name.startswith("BRIDGE_") and name not in known)


def table() -> str:
    """The settings as a Markdown page."""
    lines = [
        "# Settings",
        "",
        "Set in the environment. Each may be given as `NAME_FILE`, the path of a file with the value.",
        "This page is written by `make docs` from `bridge/env.py`.",
        "",
        "| name | default | what it does |",
        "|---|---|---|",
    ]
    lines += [f"| `{s.name}` | {f'`{s.default}`' if s.default else ''} | {s.help} |" for s in SETTINGS]
    return "\n".join(lines) + "\n"


def public_url() -> str:
    """The address that users see."""
    given: str = VALUES["BRIDGE_PUBLIC_URL"]
    return given.rstrip("/") if given else local_url(VALUES)


def local_url(values: Mapping[str, Any]) -> str:
    """Where this machine reaches the server that has these settings."""
    host: str = values["BRIDGE_HOST"]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  a reachable form of "any"
    shown = f"[{host.strip('[]')}]" if ":" in host else host
    scheme = "https" if values["BRIDGE_TLS_CERTIFICATE"] else "http"
    return f"{scheme}://{shown}:{values['BRIDGE_PORT']}"


if __name__ == "__main__":
    sys.stdout.write(table())
else:
    VALUES = read(os.environ)

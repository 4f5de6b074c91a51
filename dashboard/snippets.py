"""Code that a user of a key can paste: the same first request for each client, with the real address."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

PLACEHOLDER = "$OLLAMA_BRIDGE_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    id: str
    title: str
    text: str


def snippets(*, url: str, key: str, model: str, scopes: Collection[str]) -> list[Snippet]:
    """Snippets for what the scopes allow; a key that only embeds gets embeddings. `url` has no slash at
    its end, `key` is a key or PLACEHOLDER."""
    if {"chat", "admin"} & set(scopes):
        return _chat(url, key, model)
    return _embed(url, key, model) if "embed" in scopes else _models(url, key)


def _chat(url: str, key: str, model: str) -> list[Snippet]:
    messages = [{"role": "user", "content": "Say hello."}]
    name, said = json.dumps(model, ensure_ascii=False), json.dumps(messages)
    openai = f"""answer = client.chat.completions.create(model={name}, messages={said})
print(answer.choices[0].message.content)"""
    anthropic = f"""answer = client.messages.create(model={name}, max_tokens=256, messages={said})
print(answer.content[0].text)"""
    ollama = f"""answer = client.chat(model={name}, messages={said})
print(answer.message.content)"""
    return [
        _curl(f"{url}/v1/chat/completions", key, {"model": model, "messages": messages}),
        _python(
            "openai", "OpenAI", key, f"base_url={json.dumps(url + '/v1')}, api_key={_secret(key)}", openai
        ),
        _python(
            "anthropic", "Anthropic", key, f"base_url={json.dumps(url)}, api_key={_secret(key)}", anthropic
        ),
        _python("ollama", "Client", key, _ollama(url, key), ollama),
        _command_line(url, key, f"ollama run {_quoted(model)}"),
    ]


def _embed(url: str, key: str, model: str) -> list[Snippet]:
    name = json.dumps(model, ensure_ascii=False)
    openai = f"""answer = client.embeddings.create(model={name}, input="A sentence.")
print(answer.data[0].embedding[:4])"""
    ollama = f"""answer = client.embed(model={name}, input="A sentence.")
print(answer.embeddings[0][:4])"""
    return [
        _curl(f"{url}/v1/embeddings", key, {"model": model, "input": "A sentence."}),
        _python(
            "openai", "OpenAI", key, f"base_url={json.dumps(url + '/v1')}, api_key={_secret(key)}", openai
        ),
        _python("ollama", "Client", key, _ollama(url, key), ollama),
    ]


def _models(url: str, key: str) -> list[Snippet]:
    return [_curl(f"{url}/v1/models", key, None), _command_line(url, key, "ollama ls")]


TITLES = {"openai": "OpenAI (Python)", "anthropic": "Anthropic (Python)", "ollama": "Ollama (Python)"}


def _python(package: str, name: str, key: str, arguments: str, rest: str) -> Snippet:
    environment = "import os\n\n" if key == PLACEHOLDER else ""
    text = f"{environment}from {package} import {name}\n\nclient = {name}({arguments})\n{rest}"
    return Snippet(id=package, title=TITLES[package], text=text)


def _curl(address: str, key: str, body: object) -> Snippet:
    lines = [f"curl {address}", f'-H "Authorization: Bearer {key}"']
    if body is not None:
        lines += [
            '-H "Content-Type: application/json"',
            f"-d {_quoted(json.dumps(body, ensure_ascii=False))}",
        ]
    return Snippet(id="curl", title="curl", text=" \\\n  ".join(lines))


def _base(url: str, key: str) -> str:
    return f"base_url={json.dumps(url)}, api_key={_secret(key)}"


def _ollama(url: str, key: str) -> str:
    bearer = f'"Bearer " + {_secret(key)}' if key == PLACEHOLDER else json.dumps(f"Bearer {key}")
    return f'host={json.dumps(url)}, headers={{"Authorization": {bearer}}}'


def _command_line(url: str, key: str, command: str) -> Snippet:
    # It sends no header, so the key goes before the path.
    return Snippet(id="cli", title="Ollama (command line)", text=f"OLLAMA_HOST={url}/k/{key} {command}")


def _secret(key: str) -> str:
    """The key as a Python expression."""
    return f'os.environ["{PLACEHOLDER[1:]}"]' if key == PLACEHOLDER else json.dumps(key)


def _quoted(text: str) -> str:
    """In single quotes for a shell."""
    return "'" + text.replace("'", "'\\''") + "'"

"""The API's table of routes (design, section 6)."""

from __future__ import annotations

from bridge.dialects import (
    anthropic,
    ollama,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from bridge.dialects.inner import Dialect
from bridge.hot.routes import Route, Routes
from bridge.views import listings, store
from bridge.views.completions import complete


def _generates(endpoint: str, dialect: Dialect, scope: str) -> Route:
    return Route(endpoint=endpoint, method="POST", view=complete, dialect=dialect, scope=scope)


def _lists(
    endpoint: str, view: listings.View, dialect: Dialect = ollama.CHAT, scope: str | None = "models"
) -> Route:
    return Route(endpoint=endpoint, method="GET", view=view, dialect=dialect, scope=scope)


def _manages(endpoint: str, method: str = "POST", *, whole_body: bool = True) -> Route:
    return Route(
        endpoint=endpoint,
        method=method,
        view=store.forward,
        dialect=ollama.CHAT,
        scope="manage",
        whole_body=whole_body,
    )


EXACT = [
    _generates("/api/chat", ollama.CHAT, "chat"),
    _generates("/api/generate", ollama.GENERATE, "chat"),
    _generates("/api/embed", ollama.EMBED, "embed"),
    _generates("/api/embeddings", ollama.EMBEDDINGS, "embed"),
    _generates("/v1/chat/completions", openai_chat.CHAT_COMPLETIONS, "chat"),
    _generates("/v1/completions", openai_completions.COMPLETIONS, "chat"),
    _generates("/v1/embeddings", openai_embeddings.EMBEDDINGS, "embed"),
    _generates("/v1/responses", openai_responses.RESPONSES, "chat"),
    _generates("/v1/messages", anthropic.MESSAGES, "chat"),
    _lists("/api/tags", listings.tags),
    _lists("/api/ps", listings.ps),
    Route(endpoint="/api/show", method="POST", view=listings.show, dialect=ollama.CHAT, scope="models"),
    _lists("/api/version", listings.version, scope=None),
    _lists("/v1/models", listings.models, openai_chat.CHAT_COMPLETIONS),
    *(_manages(f"/api/{name}") for name in ("pull", "push", "create", "copy")),
    _manages("/api/delete", "DELETE"),
]

PREFIXES = {
    "/v1/models/": [_lists("/v1/models/{id}", listings.model, openai_chat.CHAT_COMPLETIONS)],
    "/api/blobs/": [
        _manages("/api/blobs/{digest}", whole_body=False),
        _manages("/api/blobs/{digest}", "HEAD"),
    ],
}


def routes() -> Routes:
    return Routes([*EXACT, *_head_twins(EXACT)], PREFIXES)


def _head_twins(table: list[Route]) -> list[Route]:
    """HEAD where Ollama answers it: its CLI asks so before most commands."""
    return [
        Route(endpoint=r.endpoint, method="HEAD", view=r.view, dialect=r.dialect, scope=r.scope)
        for r in table
        if r.endpoint in ("/api/tags", "/api/version")
    ]


def dialect_of(path: str) -> Dialect:
    """In whose shape errors under this path are written."""
    if path.startswith("/v1/messages"):
        return anthropic.MESSAGES
    return openai_chat.CHAT_COMPLETIONS if path.startswith("/v1/") else ollama.CHAT

"""The ASGI application: health first, the API through the lean handler, everything else through Django."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bridge.settings")
django_application = get_asgi_application()

from bridge.addresses import believed, networks  # noqa: E402  needs Django's apps
from bridge.credentials import PATH_PREFIX, split_path  # noqa: E402
from bridge.env import VALUES as ENV  # noqa: E402
from bridge.hot.api import dialect_of, routes  # noqa: E402
from bridge.hot.handler import HotHandler  # noqa: E402
from bridge.lifespan import Lifespan  # noqa: E402
from bridge.rowgauges import ROWS  # noqa: E402
from bridge.views import health, metrics  # noqa: E402
from scheduler.metrics import FLEET  # noqa: E402

PROXIES = networks(ENV["BRIDGE_TRUSTED_PROXIES"])
websockets = import_string(settings.WEBSOCKET_APPLICATION)


class Bridge:
    """Chooses by the path, before anything is parsed."""

    def __init__(self) -> None:
        self.lifespan = Lifespan()
        self._hot: HotHandler | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    async def _websocket(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] in settings.WEBSOCKET_PATHS:
            await websockets(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 4404})

    async def _http(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path: str = scope["path"]
        if path.startswith(PATH_PREFIX) and (bare := split_path(path)[1]) in health.PATHS:
            # The Ollama command line asks for `/` under its OLLAMA_HOST before anything else.
            await health.answer(self.lifespan.process, {**scope, "path": bare}, receive, send)
        elif path.startswith(("/v1/", "/api/", PATH_PREFIX)):
            await (await self._hot_handler())(scope, receive, send)
        elif path in health.PATHS:
            self.lifespan.begin()
            await health.answer(self.lifespan.process, scope, receive, send)
        elif path == metrics.PATH:
            await metrics.answer(scope, receive, send, token=ENV["BRIDGE_METRICS_TOKEN"], live=(FLEET, ROWS))
        else:
            await django_application(believed(scope, PROXIES), receive, send)

    async def _hot_handler(self) -> HotHandler:
        if self._hot is None:
            process = await self.lifespan.ensure_started()
            self._hot = HotHandler(process.plane, routes(), dialect_of)
        return self._hot


application = Bridge()

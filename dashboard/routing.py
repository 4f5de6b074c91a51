"""WebSockets of the dashboard: only from pages of our own hosts, with the session of the admin."""

from __future__ import annotations

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from dashboard.consumers import LiveConsumer

websockets = AllowedHostsOriginValidator(
    AuthMiddlewareStack(URLRouter([path("ws/live", LiveConsumer.as_asgi())]))
)

"""Which board this installation has: memory for one process, Redis for a fleet."""

from __future__ import annotations

from django.conf import settings

from scheduler.board.fallback import FallbackBoard
from scheduler.board.interface import Board, Bounds
from scheduler.board.memory import MemoryBoard
from scheduler.board.redis import RedisBoard


def make_board() -> Board:
    """Where REDIS_URL is set, one that serves warm traffic on its own while Redis is away."""
    bounds = Bounds(queue_model=settings.QUEUE_LIMIT_MODEL, queue_total=settings.QUEUE_LIMIT)
    if settings.REDIS_URL:
        return FallbackBoard(RedisBoard(settings.REDIS_URL, bounds))
    return MemoryBoard(bounds)

from __future__ import annotations

from scheduler.management.asking import AskCommand


class Command(AskCommand):
    help = "Ask the scheduler to load a model, where it fits best or on a node."
    kind = "load"

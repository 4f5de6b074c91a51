from __future__ import annotations

from scheduler.management.asking import AskCommand


class Command(AskCommand):
    help = "Take back the pins of a model. Policies that name it by a pattern stay, and are named."
    kind = "unpin"

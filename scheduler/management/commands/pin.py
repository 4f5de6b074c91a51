from __future__ import annotations

from scheduler.management.asking import AskCommand


class Command(AskCommand):
    help = "Ask the scheduler to keep a model loaded, on any node or on one, until it is unpinned."
    kind = "pin"

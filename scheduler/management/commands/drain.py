from __future__ import annotations

from scheduler.management.asking import AskCommand


class Command(AskCommand):
    help = (
        "Empty a node: it gets no new work, and is done when what runs there has ended and all is unloaded."
    )
    kind = "drain"
    takes_model = False
    takes_node = "needed"

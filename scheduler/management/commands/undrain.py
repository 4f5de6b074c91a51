from __future__ import annotations

from scheduler.management.asking import AskCommand


class Command(AskCommand):
    help = "Give a node work again after a drain."
    kind = "undrain"
    takes_model = False
    takes_node = "needed"

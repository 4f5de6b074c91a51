from __future__ import annotations

from django.dispatch import Signal

# An operator wrote by a command of the scheduler. Arguments: action ("node.add"), kind, target, name, before,
# after. Whoever keeps the audit log listens; the scheduler itself keeps none.
operator_wrote = Signal()

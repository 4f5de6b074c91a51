from __future__ import annotations

import pytest

from bridge.models import Actor, Source


@pytest.fixture
def ann() -> Actor:
    """A key manager at the admin."""
    return Actor(name="ann", source=Source.ADMIN, address="192.0.2.1")

from __future__ import annotations

import sys

from scheduler.simulator.cli import main

sys.exit(main())

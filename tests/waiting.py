"""Waiting for what other threads and processes do."""

import time
from collections.abc import Callable

PATIENCE = 600
"""Seconds after which something is thought to hang: many times what any of it takes beside other work."""


def wait_for(condition: Callable[[], object]) -> None:
    """Return once a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened for {PATIENCE} s"
        time.sleep(0.02)

"""Whether a run without a result is still at work."""

import os
import time

SILENCE = 120.0  # seconds; a run at work touches its heartbeat every 5

# The first that exists tells; a run that has only begun has nothing but its config.
_SIGNS = ("heartbeat", "metrics.csv", os.path.join(".hydra", "config.yaml"))


def unfinished_status(directory: str, now: float | None = None) -> str:
    """Tell "running" from "stale": whether a run without `result.json` gave a sign within the last two minutes.

    Args:
        directory: The run's.
        now: Seconds since the epoch; None for the present.
    """
    now = time.time() if now is None else now
    for sign in _SIGNS:
        try:
            age = now - os.stat(os.path.join(directory, sign)).st_mtime
        except OSError:
            continue
        return "running" if age < SILENCE else "stale"
    return "stale"

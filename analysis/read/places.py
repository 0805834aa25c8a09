"""Where the runs beside a run belong: in its sweep's directory, wherever that lies now."""

import os
from collections.abc import Iterable
from contextlib import suppress

from analysis.read.command_lines import Origin, place_words, read_origin
from analysis.read.configs import read_config
from analysis.read.plans import Sweep
from analysis.read.results import Run


def origin_and_place(run: Run, plans: Iterable[Sweep]) -> tuple[Origin, dict[str, str]]:
    """How a run was started, and the settings that put another one beside it.

    Args:
        run: Of a sweep or single.
        plans: Of all sweeps that it may be part of.
    """
    path = os.path.abspath(run.path)
    for plan in plans:
        if plan.origin.cwd and path.startswith(os.path.abspath(plan.path) + os.sep):
            return plan.origin, dict(plan.place)
    origin, recorded = read_origin(path), None
    with suppress(OSError, ValueError):  # then nothing says that it has moved
        results = read_config(path).get("results_dir")
        if origin.cwd and results and run.name:
            recorded = os.path.join(origin.cwd, results, run.name)
    above, study, _ = path.rpartition(f"{os.sep}{run.study}{os.sep}")
    return origin, place_words(above if study else os.path.dirname(path), origin, recorded, run.name)

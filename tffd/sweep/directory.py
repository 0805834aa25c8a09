"""What a sweep's directory holds already, and whether a command may go on in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tffd.files import read_regular
from tffd.refusal import ConfigError
from tffd.sweep.plan import SweepPlan

PLAN = "sweep.json"


def require_same_sweep(directory: Path, plan: SweepPlan, kept_in: str) -> None:
    """Refuse a second storage for a directory with runs, and a grid where there is a search, or the other way round.

    The trials of a second storage would get the numbers of those that are there. The plan of a second kind of sweep
    would take the place of the first one's: nobody could tell any more what that had still to do.

    Args:
        kept_in: The storage, as `name_storage` names it.
    Raises:
        ConfigError: If so.
    """
    try:
        earlier: Any = json.loads(read_regular(directory / PLAN))
        storage, kinds = earlier["storage"], {study["kind"] for study in earlier["studies"]}
    except (OSError, ValueError, TypeError, KeyError):
        return
    if storage != kept_in:
        raise ConfigError(
            [f"sweep.storage: {directory} keeps its study in {storage}, not in {kept_in}; choose another "
             "name=..., or restore sweep.storage"]
        )  # fmt: skip
    had_search, has_search = "search" in kinds, any(study.cells is None for study in plan.studies)
    if had_search != has_search:
        before, now = ("search", "grid") if had_search else ("grid", "search")
        raise ConfigError(
            [f"name={plan.config.name}: {directory} is that of a {before}, and a {now} would take the place of its "
             "plan; choose another name=..."]
        )  # fmt: skip


def count_recorded(directory: Path, plan: SweepPlan) -> dict[str, int]:
    """Return by study how many trials it must have: one more than the highest number that has a directory."""
    highest = {}
    for study in plan.studies:
        folder = directory / study.key
        places = [place for place in folder.iterdir() if place.is_dir()] if folder.is_dir() else []
        numbered = (place for place in places if place.name.isascii() and place.name.isdigit())
        highest[study.key] = 1 + max((int(place.name) for place in numbered if any(place.iterdir())), default=-1)
    return highest


def require_owned(directory: Path, recorded: Mapping[str, int], known: Mapping[str, int], kept_in: str) -> None:
    """Refuse to go on beside records that the study does not know, because it was lost or is another one.

    Its next trials would get the numbers of those records. They are not taken back into it: they do not hold all that
    a study does (what the pruner was told, what failed before, in which order trials were chosen), so that the search
    would go on as another one under the same name.

    Args:
        recorded: Trials by study, counted before the study was looked at: other commands may add to both.
        known: Trials that the studies have.
        kept_in: The storage, as `name_storage` names it.
    Raises:
        ConfigError: If there are such records.
    """
    for study, number in recorded.items():
        if number > known.get(study, 0):
            raise ConfigError(
                [f"{directory / study} holds records up to trial {number - 1}, and {kept_in} knows "
                 f"{known.get(study, 0)} trials of it: the study was lost, or replaced. Put the old {kept_in} back, or "
                 "choose another name=... (or move those records away)"]
            )  # fmt: skip

"""Whether a command may go on with what is there: with a directory and its records, and with a study."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tffd.files import read_regular
from tffd.instantiation import data_content, uses_teacher
from tffd.passwords import without_password
from tffd.records import PLAN
from tffd.refusal import ConfigError
from tffd.schema import Config
from tffd.sweep.plan import GridPlan, SearchPlan, StudyPlan, SweepPlan
from tffd.texts import counted


def name_study(config: Config, plan: StudyPlan) -> str:
    """The name of a sweep's study in its storage."""
    return f"{config.name}.{plan.key}"


def require_same_sweep(directory: Path, plan: SweepPlan, kept_in: str) -> None:
    """Refuse a second storage for a directory with runs, a grid where there is a search, and a plan of somebody else.

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
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigError(
            [f"name={plan.config.name}: {directory / PLAN} is there and is no plan of a sweep, and it would be "
             "replaced; move it away, or choose another name=..."]
        ) from error  # fmt: skip
    if storage != kept_in:
        raise ConfigError(
            [f"sweep.storage: {directory} keeps its study in {without_password(storage)}, not in {kept_in}; choose "
             "another name=..., or restore sweep.storage"]
        )  # fmt: skip
    had_search, has_search = "search" in kinds, plan.search is not None
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
            there = counted(known.get(study, 0), "trial")
            raise ConfigError(
                [f"{directory / study} holds records up to trial {number - 1}, and {kept_in} knows {there} of it: "
                 f"the study was lost, or replaced. Put the old {kept_in} back, or choose another name=... (or move "
                 "those records away)"]
            )  # fmt: skip


def shared_settings(plan: StudyPlan, config: Config) -> dict[str, str]:
    """Return what all trials of a study share. A grid may grow new cells, a search may not move its bounds."""
    sections = {"model", "dataset", "kd_mode", "teacher", "trainer", "protocol"}
    settings: dict[str, Any] = config.model_dump(by_alias=True, include=sections)
    del settings["dataset"]["source"], settings["trainer"]["cuda_graph"]
    if config.trainer.evaluate_every == 1:
        del settings["trainer"]["evaluate_every"]  # as of sweeps that are older than this setting
    if not any(key.startswith("dataset") for key in plan.keys):  # else the hashes of the cells tell the pictures
        settings["pictures"] = data_content(config)
    settings["seed"] = config.seed
    if isinstance(plan, SearchPlan):
        settings |= {"lambda_intra": config.lambda_intra, "lambda_inter": config.lambda_inter}
        settings |= {f"space of {key}": repr(distribution) for key, distribution in plan.space.items()}
        settings |= {f"condition of {key}": condition for key, condition in plan.when.items()}
        settings["seeds"] = config.sweep.seeds
    # The identities of a grid's cells name the teacher of those that have one.
    if isinstance(plan, GridPlan) or (not uses_teacher(config) and "kd_mode" not in plan.keys):
        del settings["teacher"]
    for mode in settings["kd_mode"].values():
        # The two lambdas are named above, or in the identities of a grid's cells.
        lambdas = {term for term in mode["weights"] if mode["weights"][term] == getattr(config, f"lambda_{term}", None)}
        mode["weights"] = {term: weight for term, weight in mode["weights"].items() if term not in lambdas}
    # These change no result:
    idle = ("dataset.root.", "dataset.cache.", "trainer.checkpoint_every.", "trainer.eval_batch_size.")
    varied = tuple(f"{key}." for key in plan.keys)
    shared = {key: value for key, value in _flatten(settings).items() if not f"{key}.".startswith((*idle, *varied))}
    return shared | {"objective": str(config.sweep.objective), "direction": str(config.sweep.direction)}


def require_same_settings(
    name: str, before: dict[str, str], now: dict[str, str], of_cells: Iterable[tuple[dict[str, str], dict[str, str]]]
) -> None:
    """Refuse to go on with a study, or with a cell of it, under other settings.

    Args:
        name: The name of the study.
        before, now: What its trials share.
        of_cells: What each cell of a grid was and is, which only counts where those are the same.
    Raises:
        ConfigError: With all differences.
    """
    changes = _changes(before, now) or [change for cell in of_cells for change in _changes(*cell)]
    if changes:
        differences = "; ".join(dict.fromkeys(changes))
        raise ConfigError([f"{name} was begun with other settings; choose another name=..., or restore {differences}"])


def _changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Say what differs between two sets of settings, one text for each."""
    return [
        f"{_shown(key)}: was {_shown(before.get(key))}, is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def _shown(text: str | None) -> str:
    """Text of a study, which may be anybody's, so that it cannot steer a terminal."""
    return str(text) if str(text).isprintable() else ascii(text)


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return flat

"""A sweep command: what it will do, where that is kept, and how the config of each run comes about."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext
from omegaconf import DictConfig
from optuna.trial import TrialState

from tffd.app import multirun_command
from tffd.records import PLAN, write_json
from tffd.refusal import ConfigError
from tffd.sweep.compose import Composer, with_effective_device
from tffd.sweep.display import SweepDisplay
from tffd.sweep.executors import make_executor, pin_to_devices
from tffd.sweep.implied import implied_words, key_of, without_keys
from tffd.sweep.jobs import JobMaker
from tffd.sweep.plan import GridPlan, SearchPlan, SweepPlan
from tffd.sweep.planning import make_plan
from tffd.sweep.samplers import judges_epochs
from tffd.sweep.scheduler import Scheduler
from tffd.sweep.studies.attributes import ForeignEntry
from tffd.sweep.studies.continuation import count_recorded, name_study, require_owned, require_same_sweep
from tffd.sweep.studies.lease import Lease
from tffd.sweep.studies.storage import STORAGE_ERRORS, is_lacking, name_storage, open_storage, reason_of
from tffd.sweep.studies.study import ResumableStudy

_MOST_CELLS_OF_SQLITE = 100  # of which it reads each again that has not ended, 0.3 ms, some four times a trial


class Engine:
    """Runs one sweep command.

    Args:
        context: Hydra's.
        base: Composed config of the command, with Hydra's node and without what varies.
        arguments: The command's overrides.
    """

    def __init__(self, context: HydraContext, base: DictConfig, arguments: Sequence[str]) -> None:
        self._context = context
        self._base = base
        self._arguments = list(arguments)
        self._compose = with_effective_device(Composer(context.config_loader, base), base)

    def run(self) -> int:
        """Check the command, do what is left to do of it, and show how it ended.

        Returns:
            How many of the sweep's trials have failed, in this command or before it.
        Raises:
            ConfigError: If anything in the command is wrong; nothing has been written then.
            KeyboardInterrupt: If the user interrupts; what has ended is recorded.
            DataChanged: If the pictures are not those that the sweep was checked with; what has ended is recorded.
            StorageLost: If the study cannot be read or written any more; what has ended is recorded.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        plan = make_plan(self._arguments, self._base, self._compose, self._context.config_loader.get_group_options)
        sweep = plan.config.sweep
        executor = make_executor(self._base, plan.config)
        if sweep.dry_run:
            from tffd.sweep.estimate import estimate

            estimate(plan, self._compose, executor)
            return 0
        varied = [key for study in plan.studies if study.key not in ("teacher", "baseline") for key in study.keys]
        implied = implied_words(self._base, plan.fixed, varied, self._compose)
        directory = Path(plan.config.results_dir) / plan.config.name
        with _refusing_what_cannot_be_written(directory):
            studies, kept_in = _open_studies(plan, directory)
            write_json(directory / PLAN, self._description(plan, kept_in, implied))
        with (
            Lease(directory, [study.optuna for study in studies], sweep.heartbeat_timeout) as lease,
            SweepDisplay(plan, studies, directory, self.command()) as display,
        ):
            pinned = pin_to_devices(executor, plan.config)
            jobs = JobMaker(self._context, plan, self._compose, pinned, lease, implied)
            Scheduler(sweep, studies, pinned, lease, jobs.make, display).run()
        display.summarise()
        return sum(study.counts()[TrialState.FAIL] for study in studies)

    def command(self) -> str:
        """The command that starts this sweep, and continues it."""
        return multirun_command(self._base)

    def _description(self, plan: SweepPlan, kept_in: str, implied: list[str]) -> dict[str, Any]:
        """What was planned, for `python -m analysis` to tell what is missing and how the best is trained again."""
        sweep = plan.config.sweep
        return {
            "name": plan.config.name,
            "objective": sweep.objectives[0],
            "direction": sweep.directions[0],
            "objectives": sweep.objectives,
            "directions": sweep.directions,
            "seeds": sweep.seeds,
            "storage": kept_in,
            "space": plan.search.texts if plan.search is not None else {},
            "fixed": [
                *without_keys(implied, map(key_of, plan.fixed)),
                *(override for override in plan.fixed if not override.lstrip("+").startswith("sweep")),
            ],
            "command": self.command(),
            "cwd": os.getcwd(),
            "results_dir": os.path.abspath(plan.config.results_dir),
            "studies": [
                {
                    "study": study.key,
                    "kind": "search" if isinstance(study, SearchPlan) else "grid",
                    "n_trials": study.n_trials,
                    "cells": study.cells if isinstance(study, GridPlan) else None,
                }
                for study in plan.studies
            ],
        }


@contextmanager
def _refusing_what_cannot_be_written(directory: Path) -> Iterator[None]:
    """Turn what a storage or a full disk raises before anything is started into a refusal."""
    try:
        yield
    except ForeignEntry as error:
        raise ConfigError([str(error)]) from error
    except STORAGE_ERRORS as error:
        raise ConfigError(
            [f"{directory}: its study or its plan cannot be written ({reason_of(error)}); make room there, or name "
             "another place with results_dir=..."]
        ) from error  # fmt: skip


def _keeps_its_storage_busy(plan: SweepPlan) -> bool:
    """Tell whether every epoch will be reported, or a grid has so many cells that asking for the next is work."""
    cells = (study.n_trials for study in plan.studies if isinstance(study, GridPlan))
    return judges_epochs(plan.config.sweep) or max(cells, default=0) > _MOST_CELLS_OF_SQLITE


def _open_studies(plan: SweepPlan, directory: Path) -> tuple[list[ResumableStudy], str]:
    """Open the studies of a plan, which a command may go on in, and return them with the name of their storage.

    Raises:
        ConfigError: If it may not. Whatever can be told without opening anything is refused before anything is made.
    """
    address, busy = plan.config.sweep.storage, _keeps_its_storage_busy(plan)
    kept_in = name_storage(address, directory, busy)
    require_same_sweep(directory, plan, kept_in)
    recorded = count_recorded(directory, plan)
    if is_lacking(address, directory, busy):
        require_owned(directory, recorded, {}, kept_in)
    if address in (None, "journal"):
        directory.mkdir(parents=True, exist_ok=True)
    storage = open_storage(address, directory, busy)
    known = {study.key: storage.count_trials(name_study(plan.config, study)) for study in plan.studies}
    require_owned(directory, recorded, known, kept_in)
    directory.mkdir(parents=True, exist_ok=True)
    return [ResumableStudy(study, plan.config, storage) for study in plan.studies], kept_in

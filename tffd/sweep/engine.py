"""A sweep command: what it will do, where that is kept, and how the config of each run comes about."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict
from optuna.trial import TrialState

from tffd.app import STUDY_VARIABLE, TRIAL_VARIABLE, multirun_command
from tffd.config import ConfigError, require_config
from tffd.program import program_words
from tffd.records import write_json
from tffd.sweep.attributes import ForeignEntry
from tffd.sweep.compose import Composer
from tffd.sweep.directory import PLAN, count_recorded, require_owned, require_same_sweep
from tffd.sweep.display import SweepDisplay
from tffd.sweep.executors import Executor, make_executor, pin_to_devices
from tffd.sweep.implied import implied_words, key_of, without_keys
from tffd.sweep.lease import Lease
from tffd.sweep.place import settled
from tffd.sweep.plan import Compose, SweepPlan, make_plan
from tffd.sweep.samplers import judges_epochs
from tffd.sweep.scheduler import Scheduler
from tffd.sweep.storage import is_lacking, name_storage, open_storage
from tffd.sweep.study import Claim, ResumableStudy, name_study
from tffd.sweep.worker import Job


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
        self._compose = settled(Composer(context.config_loader, base), base)

    def run(self) -> int:
        """Check the command, do what is left to do of it, and show how it ended.

        Returns:
            How many of the sweep's trials have failed, in this command or before it.
        Raises:
            ConfigError: If anything in the command is wrong; nothing has been written then.
            KeyboardInterrupt: If the user interrupts; what has ended is recorded.
            DataChanged: If the pictures are not those any more that the sweep was checked with; likewise.
            StorageLost: If the study cannot be read or written any more; likewise.
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
        every_epoch = judges_epochs(sweep)
        kept_in = name_storage(sweep.storage, directory, every_epoch)
        require_same_sweep(directory, plan, kept_in)
        recorded = count_recorded(directory, plan)
        if is_lacking(sweep.storage, directory, every_epoch):
            require_owned(directory, recorded, {}, kept_in)
        if sweep.storage in (None, "journal"):
            directory.mkdir(parents=True, exist_ok=True)
        storage = open_storage(sweep.storage, directory, every_epoch)  # refused, if it is, before anything is made
        known = {study.key: storage.count_trials(name_study(plan.config, study)) for study in plan.studies}
        require_owned(directory, recorded, known, kept_in)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            studies = [ResumableStudy(study, plan.config, storage) for study in plan.studies]
        except ForeignEntry as error:
            raise ConfigError([str(error)]) from error
        write_json(directory / PLAN, self._description(plan, kept_in, implied))
        with (
            Lease(directory, [study.optuna for study in studies], sweep.heartbeat_timeout) as lease,
            SweepDisplay(plan, studies, directory, self.command()) as display,
        ):
            executor = pin_to_devices(executor, plan.config)
            jobs = _Jobs(self._context, plan, executor, lease, self._compose, implied)
            Scheduler(sweep, studies, executor, lease, jobs.make, display).run()
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
            "space": next((study.texts for study in plan.studies if study.cells is None), {}),
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
                    "kind": "search" if study.cells is None else "grid",
                    "n_trials": study.n_trials,
                    "cells": study.cells,
                }
                for study in plan.studies
            ],
        }


@dataclass(frozen=True)
class _Jobs:
    """Composes the runs of a plan."""

    context: HydraContext
    plan: SweepPlan
    executor: Executor
    lease: Lease
    compose: Compose
    implied: list[str]

    def make(self, study: ResumableStudy, claim: Claim, seed: int | None, slot: int) -> Job:
        """Compose one run: of a trial, with a seed of its own or the config's, in one of the executor's slots."""
        base, key = self.plan.config, study.plan.key
        # What only concerns the sweep is left out, for it may hold a password.
        fixed = [override for override in self.plan.fixed if not override.lstrip("+").startswith("sweep.storage")]
        seeds = [] if seed is None else [f"seed={seed}"]
        config = self.compose([*study.plan.overrides(fixed, claim.values), *seeds])
        config_hash = self.plan.data.require_same(require_config(config)).run
        subdir = f"{key}/{claim.number:04d}" + ("" if seed is None else f"/seed{seed}")
        with open_dict(config):
            config.hydra.job.id = subdir.replace("/", "-")
            config.hydra.job.num = claim.number
            # Absolute, as all that another process is told: it may have another working directory.
            config.hydra.sweep.dir = str((Path(base.results_dir) / base.name).absolute())
            config.hydra.sweep.subdir = subdir
            config.hydra.job.env_set |= {STUDY_VARIABLE: key, TRIAL_VARIABLE: str(claim.number)}
            task = list(config.hydra.overrides.task)
            config.hydra.overrides.task = [*without_keys(self.implied, map(key_of, task)), *task]
            config.sweep.storage = None
            if config.threads is None:
                config.threads = self.executor.threads
        return Job(
            config=config,
            config_hash=config_hash,
            run_dir=Path(config.hydra.sweep.dir) / subdir,
            context_parts=(self.context.config_loader, self.context.execution_whitelist),
            study=key,
            number=claim.number,
            lease=self.lease.path if self.executor.on_this_machine else None,
            program=tuple(program_words()),
        )

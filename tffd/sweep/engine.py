"""A sweep command: what it will do, where that is kept, and how the config of each run comes about."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

from tffd.app import STUDY_VARIABLE, TRIAL_VARIABLE, multirun_command
from tffd.config import ConfigError, require_config
from tffd.records import hash_config, write_json
from tffd.sweep.compose import Composer
from tffd.sweep.display import SweepDisplay
from tffd.sweep.executors import Executor, cuda_devices, make_executor
from tffd.sweep.lease import Lease
from tffd.sweep.plan import Compose, SweepPlan, make_plan
from tffd.sweep.samplers import judges_epochs
from tffd.sweep.scheduler import Scheduler
from tffd.sweep.storage import name_storage, open_storage, without_password
from tffd.sweep.study import Claim, ResumableStudy
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
        self._compose = Composer(context.config_loader, base)

    def run(self) -> int:
        """Check the command, do what is left to do of it, and show how it ended.

        Returns:
            How many trials of this command failed.
        Raises:
            ConfigError: If anything in the command is wrong; nothing has been written then.
            KeyboardInterrupt: If the user interrupts; what has ended is recorded.
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
        directory = Path(plan.config.results_dir) / plan.config.name
        every_epoch = judges_epochs(sweep)
        kept_in = name_storage(sweep.storage, directory, every_epoch)
        _require_same_storage(directory, kept_in)
        if sweep.storage in (None, "journal"):
            directory.mkdir(parents=True, exist_ok=True)
        storage = open_storage(sweep.storage, directory, every_epoch)  # refused, if it is, before anything is made
        directory.mkdir(parents=True, exist_ok=True)
        studies = [ResumableStudy(study, plan.config, storage) for study in plan.studies]
        write_json(directory / "sweep.json", self._description(plan, kept_in))
        with (
            Lease(directory, [study.optuna for study in studies], sweep.heartbeat_timeout) as lease,
            SweepDisplay(plan, studies, directory, self.command()) as display,
        ):
            jobs = _Jobs(self._context, plan, executor, lease, self._compose)
            failed = Scheduler(sweep, studies, executor, lease, jobs.make, display).run()
        display.summarise()
        return failed

    def command(self) -> str:
        """The command that starts this sweep, and continues it."""
        address = self._base.sweep.storage
        return multirun_command(self._base).replace(str(address), without_password(address))

    def _description(self, plan: SweepPlan, kept_in: str) -> dict[str, Any]:
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
            "fixed": [override for override in plan.fixed if not override.lstrip("+").startswith("sweep")],
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


def _require_same_storage(directory: Path, kept_in: str) -> None:
    """Refuse a second storage for a directory with runs: its trials would get the numbers of those that are there."""
    try:
        earlier = json.loads((directory / "sweep.json").read_text(encoding="utf-8"))["storage"]
    except (OSError, ValueError, TypeError, KeyError):
        return
    if earlier != kept_in:
        raise ConfigError(
            [f"sweep.storage: {directory} keeps its study in {earlier}, not in {kept_in}; choose another "
             "name=..., or restore sweep.storage"]
        )  # fmt: skip


@dataclass(frozen=True)
class _Jobs:
    """Composes the runs of a plan."""

    context: HydraContext
    plan: SweepPlan
    executor: Executor
    lease: Lease
    compose: Compose

    def make(self, study: ResumableStudy, claim: Claim, seed: int | None, slot: int) -> Job:
        """Compose one run: of a trial, with a seed of its own or the config's, in one of the executor's slots."""
        base, key = self.plan.config, study.plan.key
        # What only concerns the sweep is left out, for it may hold a password.
        fixed = [override for override in self.plan.fixed if not override.lstrip("+").startswith("sweep.storage")]
        seeds = [] if seed is None else [f"seed={seed}"]
        config = self.compose([*study.plan.overrides(fixed, claim.values), *seeds])
        subdir = f"{key}/{claim.number:04d}" + ("" if seed is None else f"/seed{seed}")
        with open_dict(config):
            config.hydra.job.id = subdir.replace("/", "-")
            config.hydra.job.num = claim.number
            config.hydra.sweep.dir = str(Path(base.results_dir) / base.name)
            config.hydra.sweep.subdir = subdir
            config.hydra.job.env_set |= {STUDY_VARIABLE: key, TRIAL_VARIABLE: str(claim.number)} | self._place(slot)
            config.sweep.storage = None
            if config.threads is None:
                config.threads = self.executor.threads
        return Job(
            config=config,
            config_hash=hash_config(require_config(config)).run,
            run_dir=Path(config.hydra.sweep.dir) / subdir,
            context_parts=(self.context.config_loader, self.context.execution_whitelist),
            study=key,
            number=claim.number,
            lease=self.lease.path if self.executor.on_this_machine else None,
        )

    def _place(self, slot: int) -> dict[str, str]:
        """Environment that pins the run in a slot to one of this machine's CUDA devices."""
        devices = cuda_devices(self.plan.config) if self.executor.on_this_machine else []
        return {"CUDA_VISIBLE_DEVICES": devices[slot % len(devices)]} if devices else {}

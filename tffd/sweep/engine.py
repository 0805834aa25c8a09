"""The sweep engine: hands each trial to a process of its own as soon as one is free, and records what becomes of it."""

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict
from optuna.trial import Trial
from pebble import ProcessExpired, ProcessPool

from tffd.app import STUDY_VARIABLE, TRIAL_VARIABLE, multirun_command
from tffd.config import Config, ConfigError
from tffd.records import read_result, write_json
from tffd.sweep.display import SweepDisplay, TrialLine
from tffd.sweep.plan import SweepPlan, make_plan
from tffd.sweep.space import Value, trial_overrides
from tffd.sweep.study import ResumableStudy, open_storage
from tffd.sweep.worker import run_in_worker
from tffd.trial import record_loss

# The last two are imported late, by the first optimiser and the first split: two seconds each of every fresh process.
_PRELOADED = ["tffd.sweep.worker", "tffd.trial", "torch._dynamo", "sklearn.model_selection"]
_MOST_JOBS = 8  # unless sweep.n_jobs asks for more: each needs about a gigabyte
_POLL_SECONDS = 0.5  # how often the table of trials is brought up to date


@dataclass
class _Running:
    study: ResumableStudy
    trial: Trial
    line: TrialLine
    slot: int
    config: DictConfig


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

    def run(self) -> int:
        """Check the command, do what is left to do of it, and show how it ended.

        Returns:
            How many trials of this command failed.
        Raises:
            ConfigError: If anything in the command is wrong; nothing has been written then.
            KeyboardInterrupt: If the user interrupts; what has ended is recorded.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        plan = make_plan(self._arguments, self._base, self._compose)
        directory = Path(plan.config.results_dir) / plan.config.name
        if plan.config.sweep.storage is not None:
            open_storage(plan.config.sweep.storage, directory)  # a wrong address is refused before anything is made
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(directory / ".lock", timeout=0):
                return self._run_locked(plan, directory)
        except Timeout:
            raise ConfigError([f"name={plan.config.name}: another sweep is at work in {directory}"]) from None

    def _run_locked(self, plan: SweepPlan, directory: Path) -> int:
        storage = open_storage(plan.config.sweep.storage, directory)
        studies = [ResumableStudy(study, plan.config, storage, plan.objective) for study in plan.studies]
        write_json(directory / "sweep.json", self._description(plan))
        display = SweepDisplay(plan, studies, directory, self.command())
        with display:
            failed = self._run_trials(plan, studies, directory, display)
        display.summarise()
        return failed

    def _run_trials(
        self, plan: SweepPlan, studies: list[ResumableStudy], directory: Path, display: SweepDisplay
    ) -> int:
        failed = 0
        jobs = _number_of_jobs(plan.config)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        running: dict[Future[dict[str, Any]], _Running] = {}
        queue = list(studies)
        pool = ProcessPool(max_workers=jobs, max_tasks=1, context=context)
        try:
            while True:
                while queue and len(running) < jobs:
                    started = self._start_next(queue[0], plan, directory, pool, running, display)
                    if not started:
                        queue.pop(0)
                if not running:
                    return failed
                ended, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in ended:
                    failed += not self._record(running.pop(future), future, plan, display)
                display.refresh()
        finally:
            pool.stop()
            pool.join()

    def _start_next(
        self,
        study: ResumableStudy,
        plan: SweepPlan,
        directory: Path,
        pool: ProcessPool,
        running: dict[Future[dict[str, Any]], _Running],
        display: SweepDisplay,
    ) -> bool:
        handed_out = study.next_trial()
        if handed_out is None:
            return False
        trial, values = handed_out
        slot = min(set(range(len(running) + 1)) - {other.slot for other in running.values()})
        config = self._job_config(study, trial, values, plan, _place(slot, plan.config))
        run_dir = directory / study.plan.key / f"{trial.number:04d}"
        parts = (self._context.config_loader, self._context.execution_whitelist)
        future: Future[dict[str, Any]] = pool.schedule(run_in_worker, args=(config, run_dir, parts))
        line = TrialLine(study.plan.key, trial.number, values, run_dir, epochs=config.trainer.epochs)
        running[future] = _Running(study, trial, line, slot, config)
        display.started(line)
        return True

    def _record(self, ended: _Running, future: Future[dict[str, Any]], plan: SweepPlan, display: SweepDisplay) -> bool:
        """Record how a trial ended; tell whether it succeeded."""
        line, reason = ended.line, f"{plan.objective} is not a finite number"
        try:
            result = future.result()
        except ProcessExpired as error:
            result = read_result(line.run_dir) or {"status": "lost"}
            reason = f"the process of this trial ended with exit code {error.exitcode}"
            if result["status"] != "complete":  # it may have been ended after its last word
                record_loss(ended.config, line.run_dir, reason, study=line.study, trial=line.number)
        except Exception as error:  # anything that a trial may raise
            result, reason = {}, f"{type(error).__name__}: {error}"
        value = result.get(plan.objective)
        if value is None and ended.study.plan.cells is not None:
            value = result.get("test_top1")
        if value is None:
            ended.study.fail(ended.trial, reason)
            display.failed(line, reason)
            return False
        ended.study.succeed(ended.trial, value)
        display.completed(line, value, result["train_seconds"])
        return True

    def _job_config(
        self, study: ResumableStudy, trial: Trial, values: Mapping[str, Value], plan: SweepPlan, place: dict[str, str]
    ) -> DictConfig:
        config = self._compose(trial_overrides(plan.fixed, values))
        with open_dict(config):
            config.hydra.job.id = f"{study.plan.key}-{trial.number}"
            config.hydra.job.num = trial.number
            config.hydra.sweep.dir = str(Path(plan.config.results_dir) / plan.config.name)
            config.hydra.sweep.subdir = f"{study.plan.key}/{trial.number:04d}"
            config.hydra.job.env_set |= {STUDY_VARIABLE: study.plan.key, TRIAL_VARIABLE: str(trial.number)} | place
            if config.threads is None:
                config.threads = max(1, _cores() // _number_of_jobs(plan.config))
        return config

    def _compose(self, overrides: list[str]) -> DictConfig:
        config: DictConfig = self._context.config_loader.load_sweep_config(self._base, overrides)
        return config

    def _description(self, plan: SweepPlan) -> dict[str, Any]:
        """What was planned, for `python -m analysis` to tell what is missing."""
        return {
            "name": plan.config.name,
            "objective": plan.objective,
            "direction": plan.config.sweep.direction,
            "command": self.command(),
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

    def command(self) -> str:
        """The command that starts this sweep, and continues it."""
        return multirun_command(self._base)


def _number_of_jobs(config: Config) -> int:
    """sweep.n_jobs; null means one a CUDA device, or else one a CPU core.

    On a CPU, processes of one thread each finish more trials than threads would, and give the same bits on machines
    with other numbers of cores.
    """
    if config.sweep.n_jobs is not None:
        return config.sweep.n_jobs
    import torch

    cuda = torch.cuda.device_count() if config.device != "cpu" else 0
    return cuda or min(_cores(), _MOST_JOBS)


def _place(slot: int, config: Config) -> dict[str, str]:
    """Environment that pins the worker in a slot to one of the CUDA devices that this process may use."""
    import torch

    if config.device == "cpu" or not torch.cuda.is_available():
        return {}
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    devices = allowed.split(",")
    return {"CUDA_VISIBLE_DEVICES": devices[slot % len(devices)]}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

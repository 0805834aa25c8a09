"""What happens in the process of one run of a sweep."""

import gc
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks  # Hydra's launchers need it as well; it has no public name
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig
from rich.console import Console

from tffd.app import register_resolvers, run_from_hydra
from tffd.failures import Failure, FailureKind
from tffd.links import require_no_links
from tffd.program import work_for
from tffd.records import RunInterrupted, read_result
from tffd.schema import Config
from tffd.streams import open_streams
from tffd.sweep.studies.lease import is_locked
from tffd.trial import RunInUse, record_loss

LOG = "run.log"


@dataclass(frozen=True)
class Job:
    """One run of a trial, on its way to the process that trains it.

    Attributes:
        config: The config of the run.
        composed: The same as Hydra composed it, with Hydra's node.
        run_dir: Where hydra.sweep.dir and hydra.sweep.subdir lead to.
        context_parts: Hydra's config loader and execution whitelist.
        config_hash: The hash of the config.
        study, number: Which trial this is.
        lease: The sweep's lock file, for processes on its machine, which end when it does; None for cluster jobs.
        program: The words that started the sweep, with the packages that it trusts; see `tffd.program`.
    """

    config: Config
    composed: DictConfig
    config_hash: str
    run_dir: Path
    context_parts: tuple[Any, Any]
    study: str
    number: int
    lease: Path | None
    program: tuple[str, ...] = ()


def run_in_worker(job: Job) -> None:
    """Run one Hydra job, as a launcher would, with all output in the run directory's log.

    Its outcome is what it leaves in result.json: nothing, if it was interrupted and is to go on.
    """
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach all processes of a terminal; the sweep decides
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # what the fork server imported stays: no collection need look at it
    open_streams()
    if job.program:
        work_for(job.program)
    if job.lease is not None:
        _end_with_the_sweep(job.lease)
    job.run_dir.mkdir(parents=True, exist_ok=True)
    try:
        require_no_links(job.run_dir)
    except ValueError as error:
        failure = Failure(FailureKind.UNTIL_MENDED, f"ConfigError: {error}")
        record_loss(job.config, job.run_dir, failure, study=job.study, trial=job.number)
        return
    log = os.open(job.run_dir / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    for stream in (1, 2):  # by descriptor, so that what C libraries print is caught too
        os.dup2(log, stream)
    os.close(log)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream, though typed TextIO

    try:
        _run(job)
    except (RunInterrupted, RunInUse) as stopped:
        print(stopped, flush=True)
    except Exception as error:  # whatever it was, the sweep reads it in the record
        failure = Failure.of(error)
        print(failure.reason, flush=True)
        if not _has_record(job.run_dir):
            record_loss(job.config, job.run_dir, failure, study=job.study, trial=job.number)


def _run(job: Job) -> None:
    setup_globals()
    register_resolvers()
    config_loader, whitelist = job.context_parts
    context = HydraContext(config_loader=config_loader, callbacks=Callbacks(), execution_whitelist=whitelist)

    def task(cfg: DictConfig) -> None:
        console = Console(file=sys.stdout, force_terminal=False, width=120)
        run_from_hydra(cfg, console, config=job.config, planned=job.config_hash)

    outcome: JobReturn = run_job(
        task_function=task,
        config=job.composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=context,
        configure_logging=False,
    )
    _ = outcome.return_value  # raises what the task raised
    HydraConfig.instance().cfg = None


def _has_record(run_dir: Path) -> bool:
    try:
        return read_result(run_dir) is not None
    except ValueError:
        return False  # a damaged one; it is replaced by one that says so


def _end_with_the_sweep(lease: Path) -> None:
    """Let this process end when the sweep does, however that ends."""

    def watch() -> None:
        while is_locked(lease):
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

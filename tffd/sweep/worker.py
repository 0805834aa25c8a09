"""What happens in the process of one trial."""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks  # Hydra's launchers need it as well; it has no public name
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig
from rich.console import Console

from tffd.app import register_resolvers, run_from_hydra

LOG = "run.log"


def run_in_worker(sweep_config: DictConfig, run_dir: Path, context_parts: tuple[Any, Any]) -> dict[str, Any]:
    """Run one Hydra job, as a launcher would, with all output in the run directory's log.

    Args:
        sweep_config: Composed config with Hydra's node.
        run_dir: Where hydra.sweep.dir and hydra.sweep.subdir lead to.
        context_parts: Hydra's config loader and execution whitelist.
    Returns:
        The content of result.json.
    """
    _end_with_the_sweep()
    run_dir.mkdir(parents=True, exist_ok=True)
    log = os.open(run_dir / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):  # by descriptor, so that what C libraries print is caught too
        os.dup2(log, stream)
    os.close(log)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream, though typed TextIO

    setup_globals()
    register_resolvers()
    config_loader, whitelist = context_parts
    context = HydraContext(config_loader=config_loader, callbacks=Callbacks(), execution_whitelist=whitelist)
    outcome: dict[str, Any] = {}

    def task(cfg: DictConfig) -> Any:
        outcome.update(run_from_hydra(cfg, Console(file=sys.stdout, force_terminal=False, width=120)))
        return outcome.get(cfg.sweep.objective)

    job: JobReturn = run_job(
        task_function=task,
        config=sweep_config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=context,
        configure_logging=False,
    )
    _ = job.return_value  # raises what the task raised
    HydraConfig.instance().cfg = None
    return outcome


def _end_with_the_sweep() -> None:
    """Let this process end when the sweep does, however that ends: its fork server goes with it, our parent."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

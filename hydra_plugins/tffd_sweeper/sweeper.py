"""What Hydra needs to find the sweeper. Hydra imports this at every start, so it imports nothing heavy."""

import sys
from pathlib import Path
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from tffd.sweep.processes import start_fork_server


class TffdSweeper(Sweeper):
    """Hands a multirun to `tffd.sweep`, whose settings are the `sweep` and `ablation` groups.

    Args:
        stock: The settings that conf/sweep files give to the stock Optuna sweeper, so that `hydra/sweeper=optuna` can
            be chosen on the command line; not used here.
    """

    def __init__(self, **stock: Any) -> None:
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the engine needs; it runs trials by itself and not through `task_function`."""
        self.hydra_context = hydra_context
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep; a command that is refused, or whose trials failed, ends with an exit code other than 0."""
        assert self.hydra_context is not None  # Hydra calls setup first
        assert self.config is not None
        is_local = self.config.hydra.launcher._target_.endswith((".BasicLauncher", ".JoblibLauncher"))
        if is_local and not _has_begun(self.config):
            start_fork_server()  # its imports and ours side by side; a sweep that goes on may have nothing left to do

        from tffd.data import DataChanged
        from tffd.refusal import ConfigError, refuse
        from tffd.sweep.engine import Engine
        from tffd.sweep.executors import ClusterError
        from tffd.sweep.studies.storage import StorageLost

        try:
            failed = Engine(self.hydra_context, self.config, arguments).run()
        except ConfigError as error:
            refuse(error)
            return
        except ClusterError as error:
            sys.exit(str(error))
        except (DataChanged, StorageLost):  # which the display has told
            sys.exit(1)
        if failed:
            sys.exit(1)


def _has_begun(config: DictConfig) -> bool:
    """Tell whether there is a sweep of this name; of a config that is refused a little later, nothing can be told."""
    from omegaconf.errors import OmegaConfBaseException

    from tffd.records import PLAN

    try:
        return Path(config.results_dir, config.name, PLAN).exists()
    except (OmegaConfBaseException, OSError, TypeError, ValueError):
        return False

"""The command `tffd`, which run.py starts too: train one network, or, with -m, sweep over many; see `tffd --help`."""

import sys
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from tffd.app import prepare_command, register_resolvers, run_from_hydra
from tffd.guard import guard_hydra
from tffd.program import CONFIGS, with_whole_config_path
from tffd.refusal import refuse
from tffd.trust import trusted_targets

register_resolvers()
guard_hydra()


def train(cfg: DictConfig) -> Any:
    """Run one trial and return its objective, or objectives, which Hydra's sweepers optimise."""
    try:
        result = run_from_hydra(cfg)
    except (ValueError, OSError) as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise  # the sweeper decides what a failed trial means
        refuse(error)
        raise
    objective = cfg.sweep.objective
    return result[objective] if isinstance(objective, str) else tuple(result[name] for name in objective)


def main() -> None:
    """Do what the command line says."""
    prepare_command()
    sys.argv[1:] = with_whole_config_path(sys.argv[1:])
    start = hydra.main(config_path=str(CONFIGS), config_name="config", execution_whitelist=trusted_targets())(train)
    try:
        start()
    except KeyboardInterrupt:
        what = "The same command goes on from the last checkpoint, where trainer.checkpoint_every is not 0."
        print(f"\nInterrupted. {what}", file=sys.stderr)
        sys.exit(130)

"""Train one network, or, with -m, sweep over many: `python run.py --help`."""

import sys
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from tffd.app import prepare_command, register_resolvers, run_from_hydra
from tffd.guard import guard_hydra
from tffd.refusal import refuse
from tffd.trust import TRUSTED_TARGETS

register_resolvers()
guard_hydra()


@hydra.main(config_path="conf", config_name="config", execution_whitelist=TRUSTED_TARGETS)
def main(cfg: DictConfig) -> Any:
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


if __name__ == "__main__":
    prepare_command()
    try:
        main()
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(130)

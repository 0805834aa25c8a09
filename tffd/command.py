"""The command `tffd`, which run.py starts too: train one network, or, with -m, sweep over many; see `tffd --help`."""

import os
import sys
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from tffd.app import prepare_command, register_resolvers, run_from_hydra
from tffd.guard import guard_hydra
from tffd.program import CONFIGS
from tffd.refusal import refuse
from tffd.trust import trusted_targets

register_resolvers()
guard_hydra()

_CONFIG_PATH = ("--config-path", "-cp")


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
    sys.argv[1:] = _with_whole_config_path(sys.argv[1:])
    start = hydra.main(config_path=str(CONFIGS), config_name="config", execution_whitelist=trusted_targets())(train)
    try:
        start()
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(130)


def _with_whole_config_path(words: list[str]) -> list[str]:
    """Let a relative --config-path start from the working directory, or else from where conf/ lies.

    Hydra would look for it inside this package.
    """
    written = list(words)
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        place = index if equals else index + 1
        value = value if equals else words[place] if place < len(words) else ""
        if flag in _CONFIG_PATH and value and "://" not in value and not os.path.isabs(value):
            whole = os.path.abspath(value) if os.path.isdir(value) else str(CONFIGS.parent / value)
            written[place] = f"{flag}={whole}" if equals else whole
    return written

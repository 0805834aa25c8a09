"""Helpers of the tests that compose configs or start commands."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from tffd.app import register_resolvers

REPOSITORY = Path(__file__).parents[1]
CONF = REPOSITORY / "conf"

# The smallest run that is still a run: seconds in all.
TINY = ("model=resnet8", "trainer.epochs=2", "trainer.batch_size=50", "threads=1", "device=cpu")


def compose_config(*overrides: str) -> DictConfig:
    """Compose a config as run.py does."""
    register_resolvers()
    with initialize_config_dir(str(CONF)):
        return compose("config", overrides=list(overrides))


def places(directory: Path) -> list[str]:
    """Overrides that keep all that a command writes below a directory."""
    return [f"results_dir={directory / 'results'}", f"dataset.cache={directory / 'cache'}"]


def command(*arguments: str) -> list[str]:
    """The command line of run.py."""
    return [sys.executable, str(REPOSITORY / "run.py"), *arguments]


def run_py(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run run.py to its end: in a copy of a process that has its imports, or anew where the environment is another."""
    if environment is None and hasattr(os, "fork"):
        from tests.preloaded import run_copied

        return run_copied(REPOSITORY / "run.py", arguments, timeout=300)
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **(environment or {})},
    )


def results(directory: Path) -> list[dict[str, Any]]:
    """Read every result.json below a directory, in the order of their paths."""
    return [json.loads(path.read_text()) for path in sorted(directory.rglob("result.json"))]

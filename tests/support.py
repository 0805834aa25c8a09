"""Helpers of the tests that compose configs or start commands and processes."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from tests.waiting import PATIENCE
from tffd.app import register_resolvers

T = TypeVar("T")

REPOSITORY = Path(__file__).parents[1]
CONF = REPOSITORY / "conf"

# Plain values of keys that every config has: paths as `places` writes them, and numbers.
_PLAIN = re.compile(r"(results_dir|dataset\.cache)=(/.*)|(seed|lambda_intra|lambda_inter)=([0-9.]+(?:e-?[0-9]+)?)")

# The smallest run that is still a run: seconds in all.
TINY = ("model=resnet8", "trainer.epochs=2", "trainer.batch_size=50", "threads=1", "device=cpu")


def compose_config(*overrides: str) -> DictConfig:
    """Compose a config as run.py does; configs that differ in plain values alone are copies of one."""
    plain = [found for word in overrides if (found := _PLAIN.fullmatch(word))]
    config = deepcopy(_compose(tuple(word for word in overrides if not _PLAIN.fullmatch(word))))
    for path, place, key, number in (found.groups() for found in plain):
        OmegaConf.update(config, path or key, place if path else json.loads(number))
    return config


@lru_cache(maxsize=512)
def _compose(overrides: tuple[str, ...]) -> DictConfig:
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

        return run_copied(REPOSITORY / "run.py", arguments, timeout=PATIENCE)
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, **(environment or {})},
    )


def in_a_process(work: Callable[..., T], *arguments: Any) -> T:
    """Return what a function of a module returns, or raise what it raises, in a process that it may spoil."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
        return apart.submit(work, *arguments).result()


def results(directory: Path) -> list[dict[str, Any]]:
    """Read every result.json below a directory, in the order of their paths."""
    return [json.loads(path.read_text()) for path in sorted(directory.rglob("result.json"))]

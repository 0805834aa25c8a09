"""Executors as launchers make them, and jobs for them."""

from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from tests.support import CONF
from tests.sweep.fakes import base_config, run_config
from tffd.app import register_resolvers
from tffd.sweep.worker import Job


@cache
def launcher(name: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF)):
        whole = compose("config", overrides=[f"hydra/launcher={name}"], return_hydra_config=True)
    return OmegaConf.create(OmegaConf.to_container(whole.hydra.launcher, resolve=False))  # type: ignore[return-value]


def base(name: str, directory: Path, **settings: Any) -> DictConfig:
    node = {"launcher": launcher(name), "sweep": {"dir": str(directory)}, "job": {"name": "run"}}
    whole: DictConfig = OmegaConf.create({"hydra": node})
    for key, value in settings.items():
        OmegaConf.update(whole, f"hydra.launcher.{key}", value)
    return whole


def job_in(directory: Path, lease: Path | None = None) -> Job:
    return Job(run_config(), base_config(), "hash", directory, (None, None), "search", 0, lease)

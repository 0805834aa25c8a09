"""Faults of a config that only a look at the machine, the data or the network can show; all of them at once."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from tffd import build
from tffd.config import Config, ConfigError, read_config
from tffd.data import Summary, load_arrays
from tffd.data.splits import split_training_set


def check_config(cfg: DictConfig) -> Config:
    """Check a composed config completely, without training, and prepare its data.

    Raises:
        ConfigError: With every fault found.
    """
    config, faults, values = read_config(cfg)
    # Faults of the machine are worth telling together with those of the schema, so they are looked for either way.
    faults += _machine_faults(values)
    if config is not None:
        faults += _content_faults(config)
    if faults or config is None:
        raise ConfigError(faults)
    _, faults = _collect(lambda: _prepare_data(config), f"dataset={config.dataset.name}: ")
    if faults:
        raise ConfigError(faults)
    return config


def writable_fault(directory: str) -> str | None:
    """Say why files cannot be written below a directory, which need not exist; None if they can. Leaves nothing."""
    existing = Path(directory).absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is a file"
    try:
        with tempfile.TemporaryFile(dir=existing):
            return None
    except OSError as error:
        return f"{existing} is not writable ({error.strerror})"


def _machine_faults(values: dict[str, Any]) -> list[str]:
    faults = []
    if values.get("device") in ("auto", "cpu", "cuda"):
        faults += _collect(lambda: build.pick_device(values["device"]))[1]
    if isinstance(values.get("results_dir"), str) and (reason := writable_fault(values["results_dir"])):
        faults.append(f"results_dir={values['results_dir']}: {reason}; name another with results_dir=...")
    return faults


def _content_faults(config: Config) -> list[str]:
    mode, faults = _collect(lambda: build.build_mode(config), f"kd_mode={config.kd_mode.name}: ")
    summary, found = _collect(lambda: build.build_source(config).check(), f"dataset={config.dataset.name}: ")
    faults += found
    if summary is None:
        return faults
    faults += _data_faults(config, summary)
    model, found = _collect(
        lambda: build.build_model(config, summary.classes, summary.channels), f"model={config.model.name}: "
    )
    faults += found
    if model is not None and mode is not None:
        faults += _collect(lambda: mode.check(model.num_stages))[1]
    return faults


def _prepare_data(config: Config) -> None:
    """Decode what is not cached yet, and split it with its real labels, some of which may be too rare."""
    labels = load_arrays(build.build_source(config), config.dataset.cache).train_labels
    protocol = config.protocol
    split_training_set(np.asarray(labels), protocol.val_fraction, config.dataset.train_size, protocol.split_seed)


def _data_faults(config: Config, summary: Summary) -> list[str]:
    # Labels in equal numbers stand in for the real ones: only sizes matter here.
    labels = np.arange(summary.train_pictures) % summary.classes
    protocol, dataset = config.protocol, config.dataset
    split, faults = _collect(
        lambda: split_training_set(labels, protocol.val_fraction, dataset.train_size, protocol.split_seed)
    )
    batch_size = config.trainer.batch_size
    if split is not None and batch_size > len(split.train):
        faults.append(
            f"trainer.batch_size={batch_size}: larger than the training set of {len(split.train)} pictures; "
            f"use at most {len(split.train)}"
        )
    if config.trainer.pad_mode == "reflect" and dataset.augment.pad >= summary.image_size:
        faults.append(
            f"dataset.augment.pad={dataset.augment.pad}: reflection needs fewer pixels than the picture has, "
            f"{summary.image_size}"
        )
    return faults


def _collect(action: Callable[[], Any], prefix: str = "") -> tuple[Any, list[str]]:
    """Return (result, []) or (None, [what the user got wrong])."""
    try:
        return action(), []
    except (InstantiationException, ValueError, TypeError) as error:  # a TypeError: an argument that a target lacks
        return None, [prefix + str(error).strip().splitlines()[0]]

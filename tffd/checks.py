"""Faults of a config that only a look at the machine, the data or the network can show; all of them at once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from tffd.build import build_model, build_setting, build_shapes, build_teacher
from tffd.config import Reading, read_config
from tffd.data import Summary, load_arrays
from tffd.data.arrays import labelled_digests
from tffd.data.room import bytes_on_device, require_room
from tffd.data.splits import split_training_set
from tffd.distill import CompositionError
from tffd.files import writable_fault
from tffd.instantiation import build_distillation, build_source, data_digest, uses_teacher
from tffd.machine import effective_device, require_precision, smallest_memory
from tffd.parts import blaming, require_arrays, summary_of
from tffd.provenance import describe_training, look_into
from tffd.refusal import ConfigError
from tffd.rehearsal import rehearse
from tffd.schema import Config
from tffd.teacher import AUTO, teacher_fault, trainer_faults
from tffd.texts import counted


def check_config(cfg: DictConfig, elsewhere: bool = False) -> Config:
    """Check a composed config completely, without training, and prepare its data.

    Args:
        elsewhere: Whether it will be trained on other machines.
    Raises:
        ConfigError: With every fault found.
    """
    reading = read_config(cfg)
    faults = find_faults(reading, elsewhere)
    config = reading.config
    if config is None or faults:
        raise ConfigError(faults)
    split, faults = _collect(lambda: _prepare_data(config, elsewhere), f"dataset={config.dataset.name}: ")
    if split is not None:
        faults += _leaks(config, split)
    if faults:
        raise ConfigError(faults)
    return config


def find_faults(reading: Reading, elsewhere: bool = False) -> list[str]:
    """Return the faults of a config that was read, as far as they can be found without decoding pictures.

    Those of the machine, the data and the network are looked for in the sound sections even where others have faults.

    Args:
        reading: The reading of the config.
        elsewhere: Whether it will be trained on other machines.
    """
    return [*reading.faults, *_machine_faults(reading.values, elsewhere), *_content_faults(reading)]


def trains_elsewhere(cfg: DictConfig) -> bool:
    """Tell whether the launcher of a multirun hands runs to other machines, whose devices cannot be seen from here."""
    return str(OmegaConf.select(cfg, "hydra.launcher._target_")).endswith(".SlurmLauncher")


def _machine_faults(values: dict[str, Any], elsewhere: bool) -> list[str]:
    faults = []
    if values.get("device") in ("auto", "cpu", "cuda"):
        faults += _collect(lambda: _require_device(values, elsewhere))[1]
    if isinstance(values.get("results_dir"), str) and (reason := writable_fault(values["results_dir"])):
        faults.append(f"results_dir={values['results_dir']}: {reason}; name another with results_dir=...")
    return faults


def _require_device(values: dict[str, Any], elsewhere: bool) -> None:
    """Refuse a device or a precision that is not here; the cards of a cluster cannot be seen from here."""
    if elsewhere and values["device"] != "cpu":
        return
    device = effective_device(values["device"])
    trainer = values.get("trainer")
    precision = trainer.get("precision") if isinstance(trainer, dict) else None
    if precision in ("tf32", "bf16"):
        require_precision(precision, device)


def _content_faults(reading: Reading) -> list[str]:
    """Faults that only the data set, the network and the kd_mode can tell, of those whose sections are sound."""
    sound: Any = SimpleNamespace(**reading.sound)
    has = reading.sound.keys()
    summary = None
    faults: list[str] = []
    if "dataset" in has:
        summary, faults = _collect(lambda: _summary_of(sound), f"dataset={sound.dataset.name}: ")
    if summary is not None and has >= {"protocol", "trainer"}:
        faults += _data_faults(sound, summary)
    smallest: int | None = None
    if summary is not None and not faults and has >= {"protocol", "trainer"}:
        smallest = _smallest_batch(sound, summary)
    if "model" in has:
        faults += _network_faults(reading, sound, summary, smallest)
    return faults


def _network_faults(reading: Reading, sound: Any, summary: Summary | None, smallest: int | None) -> list[str]:
    """Faults of the networks, and of the kd_modes, which are shown the shapes that they will see.

    Args:
        summary: Of the data set; None if it cannot be told. Any other will do then, but for weights, which must fit its
            classes.
        smallest: Pictures in the smallest batch of an epoch; None if that is not known.
    """
    shown = summary or Summary(train_pictures=1, classes=10, channels=3, image_size=32)
    sizes: dict[str, Any] = {"classes": shown.classes, "channels": shown.channels, "image_size": shown.image_size}
    name = f"model={sound.model.name}: "
    _, faults = _collect(lambda: build_shapes(sound.model, **sizes), name)
    if smallest == 1 and not faults and _collect(lambda: build_shapes(sound.model, **sizes, pictures=1))[1]:
        faults.append(
            f"{name}trainer.batch_size={sound.trainer.batch_size}: leaves a batch of 1 picture, whose last maps are "
            "single values, and batch norm needs two; choose another batch size"
        )
    if summary is not None and sound.model.weights:
        faults += _collect(lambda: build_model(sound, shown.classes, shown.channels), name)[1]
    if not reading.sound.keys() >= {"kd_mode", "teacher", "trainer", "lambda_intra", "lambda_inter"}:
        return faults
    distillation, found = _collect(lambda: build_distillation(sound))
    faults += found
    if _collect(lambda: uses_teacher(sound))[0]:
        if reason := teacher_fault(sound.teacher):
            return [*faults, reason]
        faults += trainer_faults(sound.teacher, sound.trainer)
        if summary is not None and sound.teacher.checkpoint != AUTO:
            weights = Path(sound.teacher.checkpoint)
            faults += _collect(
                lambda: build_teacher(sound, shown.classes, shown.channels, weights),
                f"teacher={sound.teacher.name}: ",
            )[1]
    # Shapes do not depend on weights, so that a mode's faults are told beside those of files.
    setting, found = _collect(lambda: build_setting(sound, **sizes, pictures=shown.train_pictures))
    if setting is None:
        return faults or found
    faults += [] if distillation is None else distillation.check(setting)
    return faults or _collect(lambda: rehearse(sound, shown))[1]


def _summary_of(config: Any) -> Summary:
    return summary_of(config.dataset.source.target, build_source(config))


def _smallest_batch(config: Any, summary: Summary) -> int:
    """Pictures in the smallest batch of an epoch: the last one takes what is left."""
    labels = np.arange(summary.train_pictures) % summary.classes
    protocol = config.protocol
    split = split_training_set(labels, protocol.val_fraction, config.dataset.train_size, protocol.split_seed)
    batch_size: int = config.trainer.batch_size
    return len(split.train) % batch_size or batch_size


def _prepare_data(config: Config, elsewhere: bool) -> dict[str, int | str]:
    """Decode what is not cached yet, and split it with its real labels, some of which may be too rare.

    Returns:
        The split as result.json has it.
    """
    target, source = config.dataset.source.target, build_source(config)
    with blaming(target, "read"):
        arrays, protocol = load_arrays(source, config.dataset.cache), config.protocol
    require_arrays(target, arrays, source.check())
    labels, size = np.asarray(arrays.train_labels), config.dataset.train_size
    split = split_training_set(labels, protocol.val_fraction, size, protocol.split_seed, arrays.classes)
    if not elsewhere and effective_device(config.device).type == "cuda":
        # What is free is asked for by each run: to ask takes memory of the card, for as long as this process lives.
        needed = bytes_on_device(arrays, split, protocol.test != "never")
        require_room(needed, smallest_memory(), "in all", config.sweep.trials_per_device)
    return split.record(labelled_digests(arrays))


def _leaks(config: Config, split: dict[str, int | str]) -> list[str]:
    """Say which files of weights have seen the pictures that a run holds out."""
    files = {"model.weights": config.model.weights}
    if uses_teacher(config) and config.teacher.checkpoint != AUTO:
        files["teacher.checkpoint"] = config.teacher.checkpoint
    faults = []
    for setting, path in files.items():
        if path is not None:
            training = describe_training(config, data_digest(config), split)
            faults += _collect(partial(look_into, path, training, setting))[1]
    return faults


def _data_faults(config: Any, summary: Summary) -> list[str]:
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
    for name, numbers in (("mean", dataset.mean), ("std", dataset.std)):
        if numbers is not None and len(numbers) != summary.channels:
            faults.append(
                f"dataset.{name}={numbers}: the pictures have {counted(summary.channels, 'channel')}; give one "
                "number each, or null to measure it"
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
    except CompositionError as error:
        return None, [prefix + fault for fault in error.faults]
    # A TypeError: an argument that a target lacks; an ImportError: a target that is not there.
    except (InstantiationException, ImportError, ValueError, TypeError) as error:
        return None, [prefix + str(error).strip().splitlines()[0]]

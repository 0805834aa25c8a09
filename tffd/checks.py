"""Faults of a config that only a look at the machine, the data or the network can show; all of them at once."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from tffd.blaming import blaming
from tffd.config import Reading, read_config
from tffd.data import Summary, load_arrays
from tffd.data.arrays import labelled_digests
from tffd.data.room import bytes_on_device, require_room
from tffd.data.splits import split_training_set
from tffd.files import writable_fault
from tffd.instantiation import build_source, collect, uses_teacher
from tffd.machine import device_type, effective_device, require_precision, smallest_memory
from tffd.refusal import ConfigError
from tffd.schema import Config
from tffd.soundness import Soundness
from tffd.source_faults import require_arrays, summary_of
from tffd.teacher import teacher_fault
from tffd.texts import counted


def check_config(cfg: DictConfig, elsewhere: bool = False) -> Config:
    """Check a composed config completely, without training, and prepare its data.

    Args:
        elsewhere: Whether it will be trained on other machines.
    Raises:
        ConfigError: With every fault found.
    """
    reading = read_config(cfg)
    soundness = Soundness([reading.config])
    config = check_reading(reading, elsewhere, soundness.is_known)
    soundness.keep()
    return config


def check_reading(reading: Reading, elsewhere: bool = False, is_known: bool = False) -> Config:
    """Check a config that was read, as `check_config` does.

    Args:
        is_known: Whether its networks, modes and weights were found sound before.
    Raises:
        ConfigError: With every fault found.
    """
    config, faults = reading.config, find_faults(reading, elsewhere, is_known)
    if config is None or faults:
        raise ConfigError(faults)
    split, faults = collect(lambda: _prepare_data(config, elsewhere), f"dataset={config.dataset.name}: ")
    if split is not None and not is_known:
        from tffd.network_faults import leaks

        faults += leaks(config, split)
    if faults:
        raise ConfigError(faults)
    return config


def find_faults(reading: Reading, elsewhere: bool = False, is_known: bool = False) -> list[str]:
    """Return the faults of a config that was read, as far as they can be found without decoding pictures.

    Those of the machine, the data and the network are looked for in the sound sections even where others have faults.

    Args:
        reading: The reading of the config.
        elsewhere: Whether it will be trained on other machines.
        is_known: Whether its networks, modes and weights were found sound before.
    """
    return [*reading.faults, *_machine_faults(reading.values, elsewhere), *_content_faults(reading, is_known)]


def trains_elsewhere(cfg: DictConfig) -> bool:
    """Tell whether the launcher of a multirun hands runs to other machines, whose devices cannot be seen from here."""
    return str(OmegaConf.select(cfg, "hydra.launcher._target_")).endswith(".SlurmLauncher")


def _machine_faults(values: dict[str, Any], elsewhere: bool) -> list[str]:
    faults = []
    if values.get("device") in ("auto", "cpu", "cuda"):
        faults += collect(lambda: _require_device(values, elsewhere))[1]
    if isinstance(values.get("results_dir"), str) and (reason := writable_fault(values["results_dir"])):
        faults.append(f"results_dir={values['results_dir']}: {reason}; name another with results_dir=...")
    return faults


def _require_device(values: dict[str, Any], elsewhere: bool) -> None:
    """Refuse a device or a precision that is not here; the cards of a cluster cannot be seen from here."""
    if elsewhere and values["device"] != "cpu":
        return
    device_type(values["device"])
    trainer = values.get("trainer")
    precision = trainer.get("precision") if isinstance(trainer, dict) else None
    if precision in ("tf32", "bf16"):
        require_precision(precision, effective_device(values["device"]))


def _content_faults(reading: Reading, is_known: bool) -> list[str]:
    """Faults that only the data set, the network and the kd_mode can tell, of those whose sections are sound."""
    sound: Any = SimpleNamespace(**reading.sound)
    has = reading.sound.keys()
    summary = None
    faults: list[str] = []
    if "dataset" in has:
        summary, faults = collect(lambda: _summary_of(sound), f"dataset={sound.dataset.name}: ")
    if summary is not None and has >= {"protocol", "trainer"}:
        faults += _data_faults(sound, summary)
    if is_known:
        return [*faults, *_teacher_at_work(sound)]
    from tffd.network_faults import network_faults

    smallest: int | None = None
    if summary is not None and not faults and has >= {"protocol", "trainer"}:
        smallest = _smallest_batch(sound, summary)
    if "model" in has:
        faults += network_faults(reading, sound, summary, smallest)
    return faults


def _teacher_at_work(config: Any) -> list[str]:
    """Of all that may be wrong with networks, what can change by itself."""
    reason = teacher_fault(config.teacher) if uses_teacher(config) else None
    return [reason] if reason else []


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
    if not elsewhere and device_type(config.device) == "cuda":
        # What is free is asked for by each run: to ask takes memory of the card, for as long as this process lives.
        needed = bytes_on_device(arrays, split, protocol.test != "never")
        require_room(needed, smallest_memory(), "in all", config.sweep.trials_per_device)
    return split.record(labelled_digests(arrays))


def _data_faults(config: Any, summary: Summary) -> list[str]:
    # Labels in equal numbers stand in for the real ones: only sizes matter here.
    labels = np.arange(summary.train_pictures) % summary.classes
    protocol, dataset = config.protocol, config.dataset
    split, faults = collect(
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

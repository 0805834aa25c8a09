"""From a checked config to the objects of a run."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from torch import nn

from tffd.app import TRUSTED_TARGETS
from tffd.config import Component, Config, KdModeSection, ModelSection
from tffd.data import Augmentation, Data, Source, load_data
from tffd.distill import Distillation, DistillMode, Setting, Weighing
from tffd.models import ModelOutput
from tffd.training.loop import Recipe
from tffd.training.step import Learners

_WEIGHING = {"weights", "cross_entropy", "warmup_epochs"}
"""What a kd_mode's section holds beside the arguments of its class."""


@dataclass
class Parts:
    """All that a run consists of."""

    data: Data
    learners: Learners
    recipe: Recipe
    device: torch.device


def pick_device(name: str) -> torch.device:
    """Turn auto, cpu or cuda into a device; auto takes CUDA where there is one.

    Raises:
        ValueError: If cuda is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("device=cuda: PyTorch sees no CUDA device here; use device=cpu or device=auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def use_bf16(config: Config, device: torch.device) -> bool:
    """Whether to run under bfloat16 autocast: precision auto means CUDA cards that have it."""
    match config.trainer.precision:
        case "fp32":
            return False
        case "bf16":
            return True
        case _:
            return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def build_source(config: Config) -> Source:
    """Instantiate the data source."""
    source: Source = _make(config.dataset.source)
    return source


def build_distillation(config: Config) -> Distillation:
    """Instantiate the kd_modes, without the parts that depend on the networks.

    Raises:
        ValueError: If they do not go together.
    """
    modes = {}
    for name, section in config.kd_mode.items():
        try:
            modes[name] = _make(section, _WEIGHING)
        except (InstantiationException, ValueError, TypeError) as error:
            raise ValueError(f"kd_mode={name}: {error}") from error
    return Distillation(
        modes,
        {
            name: Weighing(section.weights, section.cross_entropy, section.warmup_epochs)
            for name, section in config.kd_mode.items()
        },
    )


def uses_teacher(config: Config) -> bool:
    """Tell whether a kd_mode whose terms count needs a teacher; if none does, a teacher that is named is idle."""
    return any(section.counts and _class_of(section).needs_teacher for section in config.kd_mode.values())


def _class_of(section: KdModeSection) -> type[DistillMode]:
    mode: type[DistillMode] = get_class(section.target)
    return mode


def build_model(config: Config, num_classes: int, channels: int) -> nn.Module:
    """Instantiate the network for a data set's classes and channels."""
    model: nn.Module = _make(config.model, num_classes=num_classes, in_channels=channels)
    return model


def build_teacher(config: Config, num_classes: int, channels: int, checkpoint: Path | None) -> nn.Module:
    """Instantiate the teacher with its weights; None leaves them as they were drawn."""
    weights = None if checkpoint is None else str(checkpoint)
    teacher: nn.Module = _make(config.teacher.network, num_classes=num_classes, in_channels=channels, weights=weights)
    return teacher


def build_shapes(network: ModelSection, *, classes: int, channels: int, image_size: int) -> ModelOutput:
    """Return what a network returns for two pictures, as shapes alone: it is built without memory for its weights."""
    with torch.device("meta"), torch.no_grad():
        model = _make(network, num_classes=classes, in_channels=channels, weights=None)
        output: ModelOutput = model(torch.empty(2, channels, image_size, image_size))
    return output


def build_setting(config: Config, *, classes: int, channels: int, image_size: int, pictures: int) -> Setting:
    """Describe a run to its kd_modes."""
    shapes = partial(build_shapes, classes=classes, channels=channels, image_size=image_size)
    return Setting(
        student=shapes(config.model),
        teacher=shapes(config.teacher.network) if uses_teacher(config) else None,
        classes=classes,
        pictures=pictures,
        epochs=config.trainer.epochs,
        new_student=lambda: build_model(config, classes, channels),
    )


def build_data(config: Config, device: torch.device) -> Data:
    """Load and split the data set as the protocol says."""
    dataset, protocol = config.dataset, config.protocol
    return load_data(
        build_source(config),
        cache=dataset.cache,
        mean=dataset.mean,
        std=dataset.std,
        train_size=dataset.train_size,
        val_fraction=protocol.val_fraction,
        split_seed=protocol.split_seed,
        read_test=protocol.test != "never",
        device=device,
    )


def build_recipe(config: Config, device: torch.device) -> Recipe:
    """Collect the hyper-parameters of the optimisation."""
    trainer = config.trainer
    shared: dict[str, Any] = {
        name: getattr(trainer, name)
        for name in ("epochs", "batch_size", "lr", "momentum", "nesterov", "weight_decay", "gamma", "warmup_epochs")
    }
    return Recipe(
        **shared,
        milestones=tuple(trainer.milestones),
        augmentation=Augmentation(config.dataset.augment.pad, trainer.pad_mode, config.dataset.augment.flip),
        seed=config.seed,
        bf16=use_bf16(config, device),
        compile=trainer.compile,
        test_every_epoch=config.protocol.test == "every_epoch",
    )


def build_parts(config: Config, teacher: Path | None = None, *, untrained: bool = False) -> Parts:
    """Build everything; weights are drawn from the run's seed, whatever was drawn before.

    Args:
        teacher: Its weights, where the kd_modes need one.
        untrained: Whether a teacher without weights will do, to see how long a step takes.
    """
    device = pick_device(config.device)
    data = build_data(config, device)
    torch.manual_seed(config.seed)
    student = build_model(config, len(data.classes), data.channels)
    # What is drawn for a teacher and the modes leaves the student's random numbers alone: runs stay paired by seed.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        distillation = build_distillation(config)
        setting = build_setting(
            config,
            classes=len(data.classes),
            channels=data.channels,
            image_size=data.train.images.shape[1],
            pictures=len(data.train),
        )
        distillation.build(setting)
        loaded = None
        if uses_teacher(config) and (teacher is not None or untrained):
            loaded = build_teacher(config, len(data.classes), data.channels, teacher)
    learners = Learners(_placed(student, device), distillation.to(device), loaded and _placed(loaded, device))
    return Parts(data, learners, build_recipe(config, device), device)


def _placed(network: nn.Module, device: torch.device) -> nn.Module:
    return network.to(device).to(memory_format=torch.channels_last)


def _make(section: Component, without: Collection[str] = (), **arguments: Any) -> Any:
    own = {key: value for key, value in section.arguments().items() if key not in without}
    return instantiate(own, **arguments, _execution_whitelist_=TRUSTED_TARGETS)

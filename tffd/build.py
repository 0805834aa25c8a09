"""From a checked config to the objects of a run."""

from dataclasses import dataclass
from typing import Any, get_type_hints

import torch
from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from torch import nn

from tffd.config import Component, Config
from tffd.data import Augmentation, Data, Source, load_data
from tffd.distill import DistillMode
from tffd.training.loop import Recipe
from tffd.trust import TRUSTED_TARGETS


@dataclass
class Parts:
    """All that a run consists of."""

    data: Data
    model: nn.Module
    mode: DistillMode
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


def build_mode(config: Config) -> DistillMode:
    """Instantiate the kd_mode."""
    mode: DistillMode = _make(config.kd_mode)
    return mode


def build_model(config: Config, num_classes: int, channels: int) -> nn.Module:
    """Instantiate the network for a data set's classes and channels."""
    model: nn.Module = _make(config.model, num_classes=num_classes, in_channels=channels)
    return model


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


def build_parts(config: Config) -> Parts:
    """Build everything; weights are drawn from the run's seed, whatever was drawn before."""
    device = pick_device(config.device)
    data = build_data(config, device)
    torch.manual_seed(config.seed)
    model = build_model(config, len(data.classes), data.channels).to(device).to(memory_format=torch.channels_last)
    return Parts(data, model, build_mode(config).to(device), build_recipe(config, device), device)


def _make(section: Component, **arguments: Any) -> Any:
    _require_types(section)
    return instantiate(section.arguments(), **arguments, _execution_whitelist_=TRUSTED_TARGETS)


def _require_types(section: Component) -> None:
    """Compare a section's arguments with the types of its class, which would fail somewhere inside on others.

    Raises:
        ValueError: With the first that does not fit.
    """
    try:
        target = get_object(section.target)
        types = get_type_hints(vars(target).get("__init__", target) if isinstance(target, type) else target)
    except (HydraException, ImportError, NameError, AttributeError):
        return  # instantiating it tells what is wrong, or it has no types
    for name, value in section.arguments().items():
        if name in types:
            try:
                TypeAdapter(types[name], config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
            except ValidationError as error:
                if error.errors()[0]["type"] == "literal_error":
                    continue  # its class names the choices
                reason = error.errors(include_url=False)[0]["msg"].removeprefix("Input ")
                raise ValueError(f"{name}={value}: {reason}") from None
            except PydanticUserError:
                continue  # a type that pydantic knows nothing of

"""From a checked config to the objects of a run."""

from dataclasses import dataclass
from typing import Any, get_type_hints

import torch
from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from torch import nn

from tffd.checkpoints import load_weights
from tffd.config import Component, Config, ModelSection
from tffd.data import Augmentation, Data, Source, content_of, digest_content, load_data
from tffd.devices import pick_device, require_precision, resolve_precision, use_precision
from tffd.distill import DistillMode
from tffd.provenance import Past, describe_training, look_into, provenance_of
from tffd.training.loop import Recipe
from tffd.trust import TRUSTED_TARGETS


@dataclass
class Parts:
    """All that a run consists of.

    Attributes:
        start: What is known of the weights that it starts from; None where they are drawn.
        provenance: What its own weights will carry.
    """

    data: Data
    model: nn.Module
    mode: DistillMode
    recipe: Recipe
    device: torch.device
    start: Past | None
    provenance: dict[str, Any]


def build_source(config: Config) -> Source:
    """Instantiate the data source."""
    source: Source = _make(config.dataset.source)
    return source


def data_content(config: Config) -> str:
    """What the data of a run is; see `tffd.data.content_of`."""
    return content_of(build_source(config), config.dataset.cache)


def data_digest(config: Config) -> str:
    """The digest of a data set's content, 12 hexadecimal digits."""
    return digest_content(data_content(config))


def build_mode(config: Config) -> DistillMode:
    """Instantiate the kd_mode."""
    mode: DistillMode = _make(config.kd_mode)
    return mode


def build_model(config: Config, num_classes: int, channels: int) -> nn.Module:
    """Instantiate the network for a data set's classes and channels, and load `model.weights` into it."""
    return build_network(config.model, num_classes, channels, config.model.weights)


def build_network(section: ModelSection, num_classes: int, channels: int, weights: str | None) -> nn.Module:
    """Instantiate a network, and load weights into it here, so that one of anybody's need not know of files."""
    arguments = section.arguments()
    arguments.pop("weights", None)
    network: nn.Module = _instantiate(arguments, num_classes=num_classes, in_channels=channels)
    if weights is not None:
        load_weights(network, weights)
    return network


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
        eval_batch_size=config.trainer.eval_batch_size,
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
        bf16=resolve_precision(trainer.precision, device.type) == "bf16",
        compile=trainer.compile,
        test_every_epoch=config.protocol.test == "every_epoch",
    )


def build_parts(config: Config) -> Parts:
    """Build everything; weights are drawn from the run's seed, whatever was drawn before.

    Raises:
        DeviceMissing: If the device, or its precision, is not there.
        SeenBefore: If `model.weights` was trained on pictures that the run holds out.
    """
    device = pick_device(config.device)
    precision = resolve_precision(config.trainer.precision, device.type)
    require_precision(precision, device)
    use_precision(precision)
    data = build_data(config, device)
    training = describe_training(config, data_digest(config), data.split_record)
    start = look_into(config.model.weights, training) if config.model.weights else None
    torch.manual_seed(config.seed)
    model = build_model(config, len(data.classes), data.channels).to(device).to(memory_format=torch.channels_last)
    recipe, mode = build_recipe(config, device), build_mode(config).to(device)
    return Parts(data, model, mode, recipe, device, start, provenance_of(training, *([start] if start else [])))


def _make(section: Component, **arguments: Any) -> Any:
    _require_types(section)
    return _instantiate(section.arguments(), **arguments)


def _instantiate(section: dict[str, Any], **arguments: Any) -> Any:
    return instantiate(section, **arguments, _execution_whitelist_=TRUSTED_TARGETS)


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

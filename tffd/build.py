"""From a checked config to the objects of a run."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch
from hydra.errors import HydraException, InstantiationException
from hydra.utils import get_class, get_object, instantiate
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from torch import Tensor, nn

from tffd.checkpoints import load_weights
from tffd.config import Component, Config, KdModeSection, ModelSection
from tffd.data import Augmentation, Data, Source, content_of, digest_content, load_data
from tffd.devices import pick_device, require_precision, resolve_precision, use_precision
from tffd.distill import CompositionError, Distillation, DistillMode, Setting, Weighing
from tffd.models import ModelOutput
from tffd.provenance import Past, describe_training, look_into, provenance_of
from tffd.training.loop import Recipe
from tffd.training.step import Learners
from tffd.trust import TRUSTED_TARGETS

WEIGHING = {"weights", "cross_entropy", "warmup_epochs"}
"""What a kd_mode's section holds beside the arguments of its class."""


@dataclass
class Parts:
    """All that a run consists of.

    Attributes:
        start: What is known of the weights that it starts from; None where they are drawn.
        taught: What is known of its teacher's weights; None where it has none.
        provenance: What its own weights will carry.
    """

    data: Data
    learners: Learners
    recipe: Recipe
    device: torch.device
    start: Past | None
    taught: Past | None
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


def build_distillation(config: Config) -> Distillation:
    """Instantiate the kd_modes, without the parts that depend on the networks.

    Raises:
        CompositionError: If they do not go together.
    """
    modes: dict[str, DistillMode] = {}
    faults: list[str] = []
    for name, section in config.kd_mode.items():
        try:
            modes[name] = _make(section, WEIGHING)
        except (InstantiationException, ValueError, TypeError) as error:
            faults.append(f"kd_mode={name}: {str(error).strip().splitlines()[0]}")
    weighing = {
        name: Weighing(section.weights, section.cross_entropy, section.warmup_epochs)
        for name, section in config.kd_mode.items()
    }
    try:
        distillation = Distillation(modes, weighing)
    except CompositionError as error:
        raise CompositionError([*faults, *error.faults]) from error
    if faults:
        raise CompositionError(faults)
    return distillation


def uses_teacher(config: Config) -> bool:
    """Tell whether a kd_mode whose terms count needs a teacher; if none does, a teacher that is named is idle."""
    return any(
        _class_of(section).needs_teacher_for([term for term, weight in section.weights.items() if weight])
        for section in config.kd_mode.values()
        if section.counts
    )


def _class_of(section: KdModeSection) -> type[DistillMode]:
    mode: type[DistillMode] = get_class(section.target)
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


def build_teacher(config: Config, num_classes: int, channels: int, checkpoint: Path | None) -> nn.Module:
    """Instantiate the teacher with its weights; None leaves them as they were drawn."""
    return build_network(config.teacher.network, num_classes, channels, None if checkpoint is None else str(checkpoint))


def build_shapes(
    network: ModelSection, *, classes: int, channels: int, image_size: int, pictures: int = 2
) -> ModelOutput:
    """Return what a network in training returns for pictures, as shapes alone: its weights take no memory."""
    return _shapes_of(_build_layers(network, classes, channels), channels, image_size, pictures)


def _build_layers(network: ModelSection, classes: int, channels: int) -> nn.Module:
    with torch.device("meta"):
        return build_network(network, classes, channels, None)


def _shapes_of(network: nn.Module, channels: int, image_size: int, pictures: int = 2) -> ModelOutput:
    with torch.device("meta"), torch.no_grad():
        output: ModelOutput = network(torch.empty(pictures, channels, image_size, image_size))
    return output


def build_setting(
    config: Config, *, classes: int, channels: int, image_size: int, pictures: int, labels: Tensor | None = None
) -> Setting:
    """Describe a run to its kd_modes.

    Args:
        labels: Of the training pictures, where they have been read.
    """

    def new_student() -> nn.Module:
        # From a seed of its own: from the run's it would be drawn as the student is, and be the student again.
        seed = int(torch.randint(2**62, ()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_network(config.model, classes, channels, None)

    teacher = _build_layers(config.teacher.network, classes, channels) if uses_teacher(config) else None
    return Setting(
        student=build_shapes(config.model, classes=classes, channels=channels, image_size=image_size),
        teacher=None if teacher is None else _shapes_of(teacher, channels, image_size),
        classes=classes,
        pictures=pictures,
        epochs=config.trainer.epochs,
        new_student=new_student,
        labels=labels,
        teacher_network=teacher,
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


def build_parts(config: Config, teacher: Path | None = None, *, untrained: bool = False) -> Parts:
    """Build everything; weights are drawn from the run's seed, whatever was drawn before.

    Args:
        teacher: Its weights, where the kd_modes need one.
        untrained: Whether a teacher without weights will do, to see how long a step takes.
    Raises:
        DeviceMissing: If the device, or its precision, is not there.
        SeenBefore: If `model.weights`, or the teacher, was trained on pictures that the run holds out.
    """
    device = pick_device(config.device)
    precision = resolve_precision(config.trainer.precision, device.type)
    require_precision(precision, device)
    use_precision(precision)
    data = build_data(config, device)
    training = describe_training(config, data_digest(config), data.split_record)
    start = look_into(config.model.weights, training) if config.model.weights else None
    taught = look_into(teacher, training, "teacher.checkpoint") if teacher else None
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
            labels=data.train.labels.cpu(),
        )
        distillation.build(setting)
        loaded = None
        if uses_teacher(config) and (teacher is not None or untrained):
            loaded = build_teacher(config, len(data.classes), data.channels, teacher)
    learners = Learners(_placed(student, device), distillation.to(device), loaded and _placed(loaded, device))
    provenance = provenance_of(training, *(known for known in (start, taught) if known))
    return Parts(data, learners, build_recipe(config, device), device, start, taught, provenance)


def _placed(network: nn.Module, device: torch.device) -> nn.Module:
    return network.to(device).to(memory_format=torch.channels_last)


def _make(section: Component, without: Collection[str] = (), **arguments: Any) -> Any:
    own = {key: value for key, value in section.arguments().items() if key not in without}
    _require_types(section.target, own)
    return _instantiate(own, **arguments)


def _instantiate(section: dict[str, Any], **arguments: Any) -> Any:
    return instantiate(section, **arguments, _execution_whitelist_=TRUSTED_TARGETS)


def _require_types(target_name: str, arguments: dict[str, Any]) -> None:
    """Compare a section's arguments with the types of its class, which would fail somewhere inside on others.

    Raises:
        ValueError: With the first that does not fit.
    """
    try:
        target = get_object(target_name)
        types = get_type_hints(vars(target).get("__init__", target) if isinstance(target, type) else target)
    except (HydraException, ImportError, NameError, AttributeError):
        return  # instantiating it tells what is wrong, or it has no types
    for name, value in arguments.items():
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

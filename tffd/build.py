"""From a checked config to the objects of a run."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tffd.blaming import blaming, is_own
from tffd.checkpoints import load_weights
from tffd.data import Augmentation, Data, load_data
from tffd.distill import Setting
from tffd.instantiation import build_distillation, build_source, data_digest, instantiate_trusted, uses_teacher
from tffd.machine import (
    effective_device,
    effective_precision,
    keep_freed_memory,
    require_precision,
    use_precision,
)
from tffd.models import ModelOutput
from tffd.parts import require_network, require_output
from tffd.provenance import Past, describe_training, look_into, provenance_of
from tffd.schema import Config, ModelSection
from tffd.training.loop import Recipe
from tffd.training.step import Learners
from tffd.without_compiler import keep_compiler_out_of_sgd

_SMALL_PICTURES = 64  # to a side


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


def build_model(config: Config, num_classes: int, channels: int) -> nn.Module:
    """Instantiate the network for a data set's classes and channels, and load `model.weights` into it."""
    return build_network(config.model, num_classes, channels, config.model.weights)


def build_network(section: ModelSection, num_classes: int, channels: int, weights: str | None) -> nn.Module:
    """Instantiate a network, and load weights into it here, so that one of anybody's need not know of files."""
    arguments = section.arguments()
    arguments.pop("weights", None)
    network: nn.Module = instantiate_trusted(arguments, num_classes=num_classes, in_channels=channels)
    require_network(section.target, network)
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
    return _shown(network, classes, channels, image_size, pictures)[1]


def _shown(
    network: ModelSection, classes: int, channels: int, image_size: int, pictures: int = 2
) -> tuple[nn.Module, ModelOutput]:
    section = network.model_dump_json(by_alias=True, exclude_unset=True, exclude={"weights"})
    return _described(section, classes, channels, image_size, pictures)


@lru_cache(maxsize=32)  # the cells of a grid have few networks among them, and each takes 0.1 s
def _described(
    section: str, classes: int, channels: int, image_size: int, pictures: int
) -> tuple[nn.Module, ModelOutput]:
    network = ModelSection.model_validate_json(section)
    # The meta device needs no memory, and takes 1.5 s: PyTorch imports its compiler to tell the shape of a sum. The
    # library's networks are computed faster than that, unless pictures are large.
    is_small = not is_own(network.target) and image_size <= _SMALL_PICTURES
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if is_small else "meta"), torch.no_grad():
        layers = build_network(network, classes, channels, None)
        with blaming(network.target, "forward, shown shapes alone (the meta device),"):
            output: ModelOutput = layers(torch.zeros(pictures, channels, image_size, image_size))
    require_output(network.target, output, classes, pictures)
    return layers.to("meta"), _shapes_of(output)


def _shapes_of(output: ModelOutput) -> ModelOutput:
    """Drop the values."""
    logits, stages, preacts, stem, pooled = output
    return ModelOutput(
        logits=logits.to("meta"),
        stages=tuple(one.to("meta") for one in stages),
        preacts=tuple(one.to("meta") for one in preacts),
        stem=stem.to("meta"),
        pooled=pooled.to("meta"),
    )


def build_setting(
    config: Config, *, classes: int, channels: int, image_size: int, pictures: int, labels: Tensor | None = None
) -> Setting:
    """Describe a run to its kd_modes.

    Args:
        labels: The labels of the training pictures, where they have been read.
    """

    def new_student() -> nn.Module:
        # From a seed of its own: from the run's it would be drawn as the student is, and be the student again.
        seed = int(torch.randint(2**62, ()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_network(config.model, classes, channels, None)

    sizes = (classes, channels, image_size)
    teacher, taught = _shown(config.teacher.network, *sizes) if uses_teacher(config) else (None, None)
    return Setting(
        student=_shown(config.model, *sizes)[1],
        teacher=taught,
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
        bf16=effective_precision(trainer.precision, device.type) == "bf16",
        compile=trainer.compile,
        cuda_graph=trainer.cuda_graph and device.type == "cuda",
        evaluate_every=trainer.evaluate_every,
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
    device = effective_device(config.device)
    precision = effective_precision(config.trainer.precision, device.type)
    require_precision(precision, device)
    use_precision(precision)
    # 0.8 of a step on an H100, and sizes are the same in all steps; but which algorithm wins is not, from run to run.
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    keep_freed_memory()
    if not config.trainer.compile:
        keep_compiler_out_of_sgd()
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

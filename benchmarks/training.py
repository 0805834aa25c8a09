"""Training steps, how near they come to what the machine can compute, and what an epoch spends besides them."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.commands import composed
from benchmarks.measure import PROCESSOR, WALL, Benchmark, Sample, Variant, Variants, timed
from tffd.build import Parts, build_parts
from tffd.config import require_config
from tffd.losses import TfFD
from tffd.models import create_model
from tffd.sweep.estimate import settle
from tffd.training.loop import Progress, evaluate, make_optimizer, train

MODES = ("none", "intra", "inter", "tfd", "tfd_plus")
STEP, PROCESSOR_STEP = "ms a step", "processor ms a step"
RATE, PROCESSOR_RATE = "GFLOP/s", "GFLOP a processor s"
_SHARE, _PROCESSOR_SHARE = "ms", "processor ms"
_CLASSES = 100
_WIDE, _PRODUCT = 256, 2048  # channels; rows and columns
_LR = 0.01  # what is drawn cannot diverge at it, and no step takes longer at another


def training(
    *, model: str = "resnet20", teacher: str = "resnet110", batch: int = 128, steps: int = 8
) -> Iterator[Variants]:
    """Steps of every kd_mode on 32x32 pictures, and of loops as the public repositories write them.

    Augmentation, forward, losses, backward and SGD all count. "per picture" is this project's network and losses behind
    the habits of those repositories: torchvision transforms on each PIL picture in the training process, contiguous
    maps, three `.item()` a step; "as the script" shows each batch to a teacher as well, as train_kd.py does in
    teacher-free modes too. It is not their code, which no longer runs on a current PyTorch.
    """
    built = {mode: synthetic(mode, model, teacher, batch, steps * batch, "cpu") for mode in MODES}
    variants = {
        mode: Variant(_per_step(epochs(parts), steps), None if mode == "none" else "none")
        for mode, parts in built.items()
    }
    for name, watched in (("per picture, tfd", None), ("as the script, tfd", teacher)):
        variants[name] = Variant(_per_step(per_picture(model, watched, built["none"], batch), steps), "tfd")
    yield variants


def synthetic(mode: str, model: str, teacher: str, batch: int, pictures: int, device: str, *more: str) -> Parts:
    """What a run of a kd_mode on made-up pictures consists of; its teacher is as it was drawn."""
    with tempfile.TemporaryDirectory() as cache:
        config = composed(
            f"kd_mode={mode}", f"model={model}", f"teacher={teacher}", "trainer=script", f"trainer.batch_size={batch}",
            "protocol=final", "dataset=synthetic", f"dataset.source.train_pictures={pictures}",
            f"dataset.source.classes={_CLASSES}", f"dataset.cache={cache}", f"device={device}", *more,
        )  # fmt: skip
        parts = build_parts(require_config(config), untrained=True)
    if parts.learners.teacher is not None:
        settle(parts.learners.teacher, parts.data.train)
    return parts


def epochs(parts: Parts) -> Callable[[], object]:
    """Return a function that trains one more epoch, which ends with the epoch's one synchronisation.

    No test set is read, for no epoch is the last.
    """
    recipe = replace(parts.recipe, epochs=10**6, lr=_LR)
    learning = train(parts.learners, parts.data, recipe, make_optimizer(parts.learners, recipe), Progress(0, [], 0.0))
    return lambda: next(learning)


def _per_step(epoch: Callable[[], object], steps: int) -> Callable[[int], Sample]:
    def run(_: int) -> Sample:
        sample = timed(epoch)
        return {STEP: 1000 * sample[WALL] / steps, PROCESSOR_STEP: 1000 * sample[PROCESSOR] / steps}

    return run


class PilPictures(Dataset[tuple[Tensor, int]]):
    """Pictures that are decoded, augmented and normalised one by one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        from torchvision import transforms as T

        self._images, self._labels = images, labels
        self._transform = T.Compose([
            T.Pad(4, padding_mode="reflect"),
            T.RandomCrop(images.shape[1]),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self._transform(Image.fromarray(self._images[index])), int(self._labels[index])


def per_picture(model_name: str, teacher_name: str | None, parts: Parts, batch: int) -> Callable[[], None]:
    """Return a function that trains one epoch on the pictures of some parts in the public repositories' manner."""
    pictures, device = parts.data.train, parts.device
    model: nn.Module = create_model(model_name, _CLASSES).to(device)
    teacher = None if teacher_name is None else create_model(teacher_name, _CLASSES).to(device)
    if teacher is not None:
        settle(teacher, pictures)
    loader = DataLoader(
        PilPictures(pictures.images.cpu().numpy(), pictures.labels.cpu().numpy()), batch_size=batch, shuffle=True
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=_LR, momentum=0.9, nesterov=True, weight_decay=5e-4)
    loss_of = TfFD(8e-4, 5e-4)

    def epoch() -> None:
        for inputs, targets in loader:
            inputs, targets = inputs.to(device), targets.to(device)
            output = model(inputs)
            if teacher is not None:
                with torch.no_grad():
                    teacher(inputs)
            cross_entropy = F.cross_entropy(output.logits, targets)
            distillation = loss_of(*output.stages)
            optimizer.zero_grad()
            (cross_entropy + distillation).backward()
            optimizer.step()
            correct = (output.logits.argmax(1) == targets).float().mean()
            cross_entropy.item(), distillation.item(), correct.item()

    return epoch


def roofline(*, model: str = "resnet20", batch: int = 128, steps: int = 4) -> Iterator[Variants]:
    """The rate of a training step against the most that this machine's float32 arithmetic reaches.

    The whole step's time is held against the operations of its convolutions and its linear layer, forward and backward.
    That most is about the rate of a wide 3x3 convolution. MKL's matrix product is slower where it
    leaves AVX-512 unused, as it seems to on AMD's processors, and a step would pass it; it stands beside.
    """
    parts = synthetic("none", model, "none", batch, steps * batch, "cpu")
    network, epoch = parts.learners.student, epochs(parts)
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(batch, 3, 32, 32)).logits.sum().backward()
    network.zero_grad(set_to_none=True)
    operations = counter.get_total_flops() * steps

    maps = torch.randn(16, _WIDE, 16, 16).to(memory_format=torch.channels_last)
    convolution = nn.Conv2d(_WIDE, _WIDE, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    convolution.requires_grad_(False)
    matrix = torch.randn(_PRODUCT, _PRODUCT)
    widest = "wide convolution"
    yield {
        widest: Variant(_rate(lambda: convolution(maps), 2 * maps.numel() * _WIDE * 9, operations)),
        "matrix product": Variant(_rate(lambda: matrix @ matrix, 2 * _PRODUCT**3, operations), widest),
        "none": Variant(_rate(epoch, operations, operations), widest),
    }


def _rate(work: Callable[[], object], operations: int, in_all: int) -> Callable[[int], Sample]:
    """Return a function that repeats some work of so many operations until there have been as many as `in_all`."""
    repeats = max(1, round(in_all / operations))

    def run(_: int) -> Sample:
        sample = timed(lambda: [work() for _ in range(repeats)])
        done = operations * repeats / 1e9
        return {RATE: done / sample[WALL], PROCESSOR_RATE: done / sample[PROCESSOR]}

    return run


def epoch(*, repeats: int = 5) -> Iterator[Variants]:
    """What part of an epoch of tfd making its batches and evaluating take.

    "digits" is `python run.py`; "32x32" the same on 922 made-up pictures in batches of 128, with 102 held out.
    """
    with tempfile.TemporaryDirectory() as cache:
        choices = {"digits": (), "32x32": ("dataset=synthetic", "trainer=script")}
        variants: dict[str, Variant] = {}
        for name, overrides in choices.items():
            config = require_config(composed("device=cpu", f"dataset.cache={cache}", *overrides))
            variants |= _epoch_variants(name, build_parts(config), repeats)
        yield variants


def _epoch_variants(name: str, parts: Parts, repeats: int) -> dict[str, Variant]:
    data, recipe = parts.data, parts.recipe
    assert data.val is not None
    held_out = data.val

    def batches() -> None:
        for _ in data.train.epoch(recipe.batch_size, recipe.augmentation, seed=0):
            pass

    def repeated(work: Callable[[], object]) -> Callable[[int], Sample]:
        def run(_: int) -> Sample:
            sample = timed(lambda: [work() for _ in range(repeats)])
            return {_SHARE: 1000 * sample[WALL] / repeats, _PROCESSOR_SHARE: 1000 * sample[PROCESSOR] / repeats}

        return run

    whole = f"{name}: epoch"
    return {
        whole: Variant(repeated(epochs(parts))),
        f"{name}: making batches": Variant(repeated(batches), whole),
        f"{name}: evaluation": Variant(
            repeated(lambda: evaluate(parts.learners.student, held_out, "val", recipe.bf16)), whole
        ),
    }


BENCHMARKS = (
    Benchmark(training, rounds=9, ratios={STEP: None, PROCESSOR_STEP: 0.1}, warm_up=True),
    Benchmark(roofline, rounds=9, ratios={RATE: None, PROCESSOR_RATE: 0.1}, warm_up=True),
    Benchmark(epoch, rounds=9, ratios={_SHARE: None, _PROCESSOR_SHARE: 0.15}, warm_up=True),
)

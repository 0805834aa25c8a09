"""Time training steps: this project's loop in every kd_mode, against the way the distillation repositories do it.

    python -m benchmarks.training [--model resnet20] [--teacher resnet110] [--batch 128] [--steps 12] [--rounds 5]
        [--device cpu]

All variants do the same step: augment a batch of 32x32 pictures, forward, losses, backward, SGD. "per-picture" feeds
the network as the public repositories do (torchvision transforms on every PIL picture in the training process,
contiguous maps, three .item() a step). Variants are interleaved in every round; medians over the rounds, ratios to
kd_mode none.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from tffd.data import Augmentation, Data, Pictures
from tffd.data.splits import Split
from tffd.distill import Distillation, DistillMode, Weighing
from tffd.distill.st import SoftTargets
from tffd.distill.teacher_free import TeacherFree
from tffd.losses import TfFD
from tffd.models import create_model
from tffd.training.loop import Progress, Recipe, make_optimizer, train
from tffd.training.step import Learners

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
Timer = Callable[[], float]


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--teacher", default="resnet110", help="of tfd_plus")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()

    device = torch.device(options.device)
    images = np.random.default_rng(0).integers(0, 256, (options.batch * options.steps, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(len(images)) % 100
    lambdas = {"intra": 8e-4, "inter": 5e-4}
    modes: dict[str, dict[str, tuple[DistillMode, dict[str, float]]]] = {
        "none": {},
        "intra": {"intra": (TeacherFree(), {"intra": lambdas["intra"]})},
        "inter": {"inter": (TeacherFree(), {"inter": lambdas["inter"]})},
        "tfd": {"tfd": (TeacherFree(), lambdas)},
        "tfd_plus": {"st": (SoftTargets(), {"st": 1.0}), "tfd": (TeacherFree(), lambdas)},
    }
    variants: dict[str, Timer] = {}
    for name, parts in modes.items():
        weighing = {mode: Weighing(weights) for mode, (_, weights) in parts.items()}
        distillation = Distillation({mode: part for mode, (part, _) in parts.items()}, weighing)
        networks = (options.model, options.teacher if distillation.needs_teacher else None)
        variants[f"tffd, {name}"] = tffd_epoch(networks, distillation, images, labels, options.batch, device)
    variants["per-picture, tfd"] = per_picture_epoch(options.model, images, labels, options.batch, device)

    for epoch in variants.values():
        epoch()  # warm-up
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(options.rounds):
        for name, epoch in variants.items():
            seconds[name].append(epoch() / options.steps)
    report(seconds, options, device)


def tffd_epoch(
    names: tuple[str, str | None],
    distillation: Distillation,
    images: np.ndarray,
    labels: np.ndarray,
    batch: int,
    device: torch.device,
) -> Timer:
    """Return a function that trains one more epoch of this project's loop and returns its seconds.

    Args:
        names: Of the network and its teacher.
    """
    student, teacher = (
        None if name is None else create_model(name, 100).to(device).to(memory_format=torch.channels_last)
        for name in names
    )
    assert student is not None
    learners = Learners(student, distillation.to(device), teacher)
    statistics_of = [torch.tensor(numbers, device=device) for numbers in (MEAN, STD)]
    pictures = Pictures(
        torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device), statistics_of[0], statistics_of[1]
    )
    split = Split(np.arange(len(images)), np.arange(0))
    data = Data(pictures, None, None, (), 3, split)
    recipe = Recipe(
        epochs=10**6, batch_size=batch, lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4,
        milestones=(), gamma=0.1, warmup_epochs=20, augmentation=Augmentation(4, "reflect", flip=True), seed=0,
        bf16=device.type == "cuda",
    )  # fmt: skip
    progress = Progress(0, [], 0.0)
    epochs = train(learners, data, recipe, make_optimizer(learners, recipe), progress)

    def epoch() -> float:
        started = time.perf_counter()
        next(epochs)  # ends with the epoch's one synchronisation
        return time.perf_counter() - started

    return epoch


class PilPictures(Dataset[tuple[Tensor, int]]):
    """Pictures that are decoded, augmented and normalised one by one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        from torchvision import transforms as T

        self._images, self._labels = images, labels
        self._transform = T.Compose(
            [
                T.Pad(4, padding_mode="reflect"),
                T.RandomCrop(32),
                T.RandomHorizontalFlip(),
                T.ToTensor(),
                T.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self._transform(Image.fromarray(self._images[index])), int(self._labels[index])


def per_picture_epoch(
    model_name: str, images: np.ndarray, labels: np.ndarray, batch: int, device: torch.device
) -> Timer:
    """Return a function that trains one epoch in the public repositories' manner and returns its seconds."""
    model: nn.Module = create_model(model_name, 100).to(device)
    loader = DataLoader(PilPictures(images, labels), batch_size=batch, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    loss_of = TfFD(8e-4, 5e-4)

    def steps() -> Iterator[None]:
        for inputs, targets in loader:
            output = model(inputs.to(device))
            targets = targets.to(device)
            cross_entropy = F.cross_entropy(output.logits, targets)
            distillation = loss_of(*output.stages)
            optimizer.zero_grad()
            (cross_entropy + distillation).backward()
            optimizer.step()
            correct = (output.logits.argmax(1) == targets).float().mean()
            cross_entropy.item(), distillation.item(), correct.item()
            yield

    def epoch() -> float:
        started = time.perf_counter()
        for _ in steps():
            pass
        return time.perf_counter() - started

    return epoch


def report(seconds: dict[str, list[float]], options: argparse.Namespace, device: torch.device) -> None:
    """Print the conditions and the medians."""
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(
        f"{options.model}, batch {options.batch}, {options.rounds} rounds of {options.steps} steps; {device.type} "
        f"({card}); torch {torch.__version__}, Python {platform.python_version()}\n"
    )
    base = seconds["tffd, none"]
    print("| variant | ms a step, median (min to max) | ratio to tffd, none |")
    print("|:--|--:|--:|")
    for name, values in seconds.items():
        ratio = statistics.median(value / other for value, other in zip(values, base, strict=True))
        low, middle, high = (1000 * number for number in (min(values), statistics.median(values), max(values)))
        print(f"| {name} | {middle:.0f} ({low:.0f} to {high:.0f}) | {ratio:.2f} |")


if __name__ == "__main__":
    main()

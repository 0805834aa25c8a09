"""The training loop: flat, the same for every kd_mode, one device synchronisation an epoch."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.data import Augmentation, Data, Pictures
from tffd.distill import DistillMode
from tffd.training.schedule import kd_factor, learning_rate

Row = dict[str, float]

_EPOCH_SEED_STRIDE = 1_000_003  # a prime well above any number of epochs, so that no two (seed, epoch) share a stream


class TrainingDiverged(ValueError):
    """The loss stopped being a number; going on would only cost time."""


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of the optimisation; units are epochs and pictures.

    Attributes:
        milestones: Fractions of the run after which the learning rate drops by `gamma`.
        warmup_epochs: Over which the distillation loss is faded in.
        bf16: Whether the forward pass runs under bfloat16 autocast.
        compile: Whether forward pass and losses are compiled.
        test_every_epoch: The reference's habit ("paper" protocol); otherwise the test set, where there is one, is read
            once, after the last epoch.
    """

    epochs: int
    batch_size: int
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    milestones: tuple[float, ...]
    gamma: float
    warmup_epochs: int
    augmentation: Augmentation
    seed: int
    bf16: bool = False
    compile: bool = False
    test_every_epoch: bool = False


@dataclass
class Progress:
    """Where a run stands after an epoch; what a checkpoint keeps.

    Attributes:
        epoch: Last finished epoch; 0 before the first.
        history: One row an epoch, as in metrics.csv.
        seconds: Time spent on training and evaluation.
    """

    epoch: int
    history: list[Row]
    seconds: float


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD with one parameter group; its learning rate is set by the loop at every epoch."""
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def train(
    model: nn.Module,
    mode: DistillMode,
    data: Data,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> Iterator[Progress]:
    """Train to the last epoch, from wherever `progress` stands, and yield it after every epoch.

    Total loss of a batch: cross-entropy + kd_factor(epoch) * the mode's loss.

    Args:
        model: On the device of the data.
        progress: Updated in place.
    Raises:
        TrainingDiverged: If the training loss of an epoch is not finite.
    """
    step = torch.compile(_batch_losses) if recipe.compile else _batch_losses
    device = data.train.images.device
    for epoch in range(progress.epoch + 1, recipe.epochs + 1):
        started = time.perf_counter()
        lr = learning_rate(epoch, recipe.epochs, recipe.lr, recipe.milestones, recipe.gamma)
        for group in optimizer.param_groups:
            group["lr"] = lr
        factor = kd_factor(epoch, recipe.warmup_epochs)
        # As a tensor, so that a compiled step is not compiled anew at every epoch of the warm-up; torch.full fills it
        # on the device, where torch.tensor would copy and wait.
        weight = torch.full((), factor, device=device)

        model.train()
        sums: dict[str, Tensor] = {}
        batches = data.train.epoch(
            recipe.batch_size, recipe.augmentation, seed=recipe.seed * _EPOCH_SEED_STRIDE + epoch
        )
        seen = 0
        for inputs, labels in batches:
            optimizer.zero_grad(set_to_none=True)
            with autocast(device, recipe.bf16):
                loss, parts = step(model, mode, inputs, labels, weight)
            loss.backward()
            optimizer.step()
            seen += len(labels)
            for name, value in parts.items():
                weighted = value if name == "train_top1" else value * len(labels)
                sums[name] = sums[name] + weighted if name in sums else weighted

        results = {name: total / seen * (100 if name == "train_top1" else 1) for name, total in sums.items()}
        if data.val is not None:
            results |= evaluate(model, data.val, "val", recipe.bf16)
        if data.test is not None and (recipe.test_every_epoch or epoch == recipe.epochs):
            results |= evaluate(model, data.test, "test", recipe.bf16)
        row: Row = {"epoch": epoch, "lr": lr, "kd_factor": factor, **_to_numbers(results)}
        if not math.isfinite(row["train_loss"]):
            raise TrainingDiverged(
                f"the training loss became {row['train_loss']} in epoch {epoch} of {recipe.epochs}; "
                "lower trainer.lr or the lambdas."
            )
        progress.epoch = epoch
        progress.history.append(row)
        progress.seconds += time.perf_counter() - started
        yield progress


@torch.no_grad()
def evaluate(model: nn.Module, pictures: Pictures, split: str, bf16: bool = False) -> dict[str, Tensor]:
    """Return {split}_loss, {split}_top1 and {split}_top5 (percent) of a model, as scalars on its device."""
    model.eval()
    loss = correct1 = correct5 = torch.zeros((), device=pictures.images.device)
    for inputs, labels in pictures.in_order():
        with autocast(inputs.device, bf16):
            logits = model(inputs).logits.float()
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
        loss = loss + F.cross_entropy(logits, labels, reduction="sum")
        correct1 = correct1 + ranked[:, 0].sum()
        correct5 = correct5 + ranked.sum()
    count = len(pictures)
    return {
        f"{split}_loss": loss / count,
        f"{split}_top1": 100 * correct1 / count,
        f"{split}_top5": 100 * correct5 / count,
    }


def autocast(device: torch.device, bf16: bool) -> AbstractContextManager[object]:
    """bfloat16 autocast, or nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else nullcontext()


def _batch_losses(
    model: nn.Module, mode: DistillMode, inputs: Tensor, labels: Tensor, factor: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss to minimise, and detached scalars: batch means, and the number of correct pictures."""
    output = model(inputs)
    cross_entropy = F.cross_entropy(output.logits, labels)
    distillation, terms = mode(output, labels)
    loss = cross_entropy if distillation is None else cross_entropy + factor * distillation
    parts = {"train_loss": loss, "train_ce": cross_entropy, **terms}
    correct = (output.logits.argmax(dim=1) == labels).sum()
    return loss, {name: part.detach() for name, part in parts.items()} | {"train_top1": correct}


def _to_numbers(scalars: dict[str, Tensor]) -> Row:
    """Move scalars to the CPU in one go: the epoch's only synchronisation."""
    return dict(zip(scalars, torch.stack([s.double() for s in scalars.values()]).tolist(), strict=True))

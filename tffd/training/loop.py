"""The training loop: flat, the same for every kd_mode, one device synchronisation an epoch."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.data import Augmentation, Batch, Data, Pictures
from tffd.schedule import kd_factor, learning_rate
from tffd.training.captured import CapturedSteps, CudaRecorder, uncaptured
from tffd.training.step import Learners, StepFunction, autocast, batch_losses, first_stage_losses

Row = dict[str, float]

_EPOCH_SEED_STRIDE = 1_000_003  # a prime well above any number of epochs, so that no two (seed, epoch) share a stream
_STEP_SEED_STRIDE = 1_000_033  # another, well above any number of steps
_FIRST_STAGE_SEED = 500_000  # its epochs are counted from here, apart from those of the run proper


class TrainingDiverged(ValueError):
    """The loss stopped being a number; going on would only cost time."""


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of the optimisation; units are epochs and pictures.

    Attributes:
        milestones: Fractions of the run after which the learning rate drops by `gamma`.
        warmup_epochs: Over which the distillation loss is faded in.
        bf16: Whether the forward pass runs under bfloat16 autocast.
        compile: Whether forward pass and losses are compiled, where every mode allows it.
        cuda_graph: Whether steps are recorded and replayed, where every part allows it; on a card alone.
        evaluate_every: Epochs from one look at the validation pictures to the next; there is one after the last epoch.
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
    cuda_graph: bool = False
    evaluate_every: int = 1
    test_every_epoch: bool = False


@dataclass
class Progress:
    """Where a run stands after an epoch; what a checkpoint keeps.

    Attributes:
        epoch: Last finished epoch; 0 before the first.
        history: One row an epoch, as in metrics.csv.
        seconds: Time spent on training and evaluation, the first stage included.
        first_stage: One row for each finished epoch of a mode's first stage; empty where there is none.
    """

    epoch: int
    history: list[Row]
    seconds: float
    first_stage: list[Row] = field(default_factory=list)


def make_optimizer(learners: Learners, recipe: Recipe, first_stage: bool = False) -> torch.optim.SGD:
    """SGD over the student and the trainable parts of the modes; the loop sets its learning rate at every epoch.

    Args:
        first_stage: Whether it is for the first stage, which may leave the student alone.
    """
    stage = learners.distillation.first_stage
    groups = [list(learners.distillation.parameters())]
    if not first_stage or stage is None or stage.student:
        groups.insert(0, list(learners.student.parameters()))
    return torch.optim.SGD(
        [{"params": group} for group in groups if group],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def train(
    learners: Learners, data: Data, recipe: Recipe, optimizer: torch.optim.Optimizer, progress: Progress
) -> Iterator[Progress]:
    """Train to the last epoch, from wherever `progress` stands, and yield it after every epoch.

    Loss of a batch: see `Distillation`; the warm-up factors are those of the epoch.

    Args:
        learners: On the device of the data.
        progress: Updated in place.
    Raises:
        TrainingDiverged: If the training loss of an epoch is not finite.
    """
    steps = _Steps(batch_losses, learners, optimizer, recipe)
    try:
        yield from _epochs(steps, learners, data, recipe, progress)
    finally:
        steps.close()


def _epochs(steps: "_Steps", learners: Learners, data: Data, recipe: Recipe, progress: Progress) -> Iterator[Progress]:
    for epoch in range(progress.epoch + 1, recipe.epochs + 1):
        started = time.perf_counter()
        lr = learning_rate(epoch, recipe.epochs, recipe.lr, recipe.milestones, recipe.gamma)
        factors = learners.distillation.factors(epoch, recipe.warmup_epochs)
        results = _train_epoch(steps, data.train, lr, epoch, factors)
        is_last = epoch == recipe.epochs
        if data.val is not None and (is_last or epoch % recipe.evaluate_every == 0):
            results |= evaluate(learners.student, data.val, "val", recipe.bf16)
        if data.test is not None and (recipe.test_every_epoch or is_last):
            results |= evaluate(learners.student, data.test, "test", recipe.bf16)
        row: Row = {"epoch": epoch, "lr": lr, "kd_factor": kd_factor(epoch, recipe.warmup_epochs)}
        row |= {f"kd_factor.{name}": factors[name] for name in learners.distillation.own_warmups}
        row |= _to_numbers(results)
        _require_finite(row["train_loss"], f"epoch {epoch} of {recipe.epochs}")
        progress.epoch = epoch
        progress.history.append(row)
        progress.seconds += time.perf_counter() - started
        yield progress


def train_first_stage(
    learners: Learners, data: Data, recipe: Recipe, optimizer: torch.optim.Optimizer, progress: Progress
) -> Iterator[Progress]:
    """Train what a mode wants trained before the run proper, and yield `progress` after every epoch of it.

    Raises:
        TrainingDiverged: If the training loss of an epoch is not finite.
    """
    stage = learners.distillation.first_stage
    if stage is None:
        return
    steps = _Steps(first_stage_losses, learners, optimizer, replace(recipe, compile=False, cuda_graph=False))
    for epoch in range(len(progress.first_stage) + 1, stage.epochs + 1):
        started = time.perf_counter()
        lr = learning_rate(epoch, stage.epochs, recipe.lr * stage.lr_factor, stage.milestones, recipe.gamma)
        seeded = epoch + _FIRST_STAGE_SEED
        results = _train_epoch(steps, data.train, lr, seeded, {})
        row: Row = {"epoch": epoch, "lr": lr, **_to_numbers(results)}
        _require_finite(row["train_loss"], f"epoch {epoch} of {stage.epochs} of the first stage")
        progress.first_stage.append(row)
        progress.seconds += time.perf_counter() - started
        yield progress


class _Steps:
    """The steps of a run. They change all that lasts in place, as one that is replayed changes what it has changed.

    Attributes:
        take: Takes a step, given a batch and the step's seed.
    """

    def __init__(
        self, losses: StepFunction, learners: Learners, optimizer: torch.optim.Optimizer, recipe: Recipe
    ) -> None:
        self.learners, self.recipe, self._optimizer, self._losses = learners, recipe, optimizer, losses
        self._compiled = losses
        if recipe.compile and not learners.distillation.uncompiled:
            learners.distillation.hold_weights(next(learners.student.parameters()).device)
            # Not with the batch that is left over at the end: sizes would become variables, at a price for all.
            self._compiled = torch.compile(losses)
        self._epoch, self._lr, self._size = 0, math.nan, 0
        self._factors: dict[str, Tensor] = {}
        self._sums: dict[str, Tensor] = {}
        self._captured = None
        self.take = self._take
        if recipe.cuda_graph and not uncaptured(learners):
            self._captured = self.take = CapturedSteps(self._take, CudaRecorder())

    @contextmanager
    def epoch(self, lr: float, epoch: int, factors: Mapping[str, float], device: torch.device) -> Iterator[None]:
        """Within this, steps of one epoch may be taken."""
        self._epoch = epoch
        with self._captured.working() if self._captured else nullcontext():
            for group in self._optimizer.param_groups:
                group["lr"] = lr
            if self._captured and lr != self._lr:
                self._captured.forget()
            self._lr = lr
            # As tensors, so that a step is neither compiled nor recorded anew at every epoch of the warm-up; they are
            # filled on the device, where torch.tensor would copy and wait.
            for name, factor in factors.items():
                self._factors.setdefault(name, torch.empty((), device=device)).fill_(factor)
            for total in self._sums.values():
                total.zero_()
            yield

    def close(self) -> None:
        """Give back the memory of what was recorded: by itself it would stay until Python looks for cycles."""
        if self._captured:
            self._captured.forget()

    def means(self, seen: int) -> dict[str, Tensor]:
        """Return the means, over so many pictures, of what an epoch's steps measured, on the device."""
        return {name: total / seen * (100 if name == "train_top1" else 1) for name, total in self._sums.items()}

    def _take(self, batch: Batch, draw: int) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        size = len(batch.labels) - batch.repeated
        self._size = max(size, self._size)
        losses = self._compiled if size == self._size else self._losses
        with autocast(batch.labels.device, self.recipe.bf16):
            loss, parts = losses(self.learners, batch, self._epoch, draw, self._factors)
        loss.backward()
        self._optimizer.step()
        for name, value in parts.items():
            weighted = value if name == "train_top1" else value * len(batch.labels)
            if name in self._sums:
                self._sums[name] += weighted
            else:
                self._sums[name] = weighted


def _train_epoch(
    steps: _Steps, pictures: Pictures, lr: float, epoch: int, factors: Mapping[str, float]
) -> dict[str, Tensor]:
    """Take the steps of one epoch, and return the means of what they measured, on the device."""
    learners, recipe = steps.learners, steps.recipe
    learners.student.train()
    learners.distillation.train()
    seen = 0
    seed = recipe.seed * _EPOCH_SEED_STRIDE + epoch
    with steps.epoch(lr, epoch, factors, pictures.images.device):
        batches = pictures.epoch(recipe.batch_size, recipe.augmentation, seed, learners.distillation.partner)
        for number, batch in enumerate(batches):
            steps.take(batch, seed * _STEP_SEED_STRIDE + number)
            seen += len(batch.labels)
    return steps.means(seen)


def _require_finite(loss: float, when: str) -> None:
    if not math.isfinite(loss):
        raise TrainingDiverged(f"the training loss became {loss} in {when}; lower trainer.lr or the terms' weights.")


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


def _to_numbers(scalars: dict[str, Tensor]) -> Row:
    """Move scalars to the CPU in one go: the epoch's only synchronisation."""
    return dict(zip(scalars, torch.stack([s.double() for s in scalars.values()]).tolist(), strict=True))

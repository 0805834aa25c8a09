"""Eight training steps of the released script, through the project's own loop.

The script's figures are float32, and this training is chaotic: at a learning rate of 0.1 a change of the weights by
1e-8 of themselves, less than float32 can hold, swaps channels of nearly equal saliency and moves the losses by 1e-3 at
the third step and by 2 to 16 % at the later ones. So the figures hold 1e-3 only for the kernels that made them, and
only the beginning can be compared. Two things make up for the rest: float64, in which the first two steps agree with
the figures to 2e-7, and a script of our own, straight from the formulas, for all eight.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.distill.compositions import composed
from tffd.data import Augmentation, Batch, Data, Pictures
from tffd.data.splits import Split
from tffd.distill import Step
from tffd.distill.teacher_free import TeacherFree
from tffd.training.loop import Progress, Recipe, Row, make_optimizer, train
from tffd.training.step import Learners

LAMBDA_INTRA, LAMBDA_INTER = 8e-4, 5e-4
LR, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
RECIPE = Recipe(
    epochs=240,
    batch_size=16,
    lr=LR,
    momentum=MOMENTUM,
    nesterov=True,
    weight_decay=WEIGHT_DECAY,
    milestones=(0.625, 0.75, 0.875),
    gamma=0.1,
    warmup_epochs=20,
    augmentation=Augmentation(pad=0, mode="zero", flip=False),
    seed=0,
)
# Figures, epochs done before, warm-up factor: the 1st epoch, and the 20th, where the warm-up ends.
TRACES = [("trace_epoch1", 0, 1 / 20), ("trace_warm", 19, 1.0)]

Student = tuple[nn.Module, Tensor, Tensor]


class InOrder(Pictures):
    """Ready inputs, in batches in their order."""

    def epoch(self, batch_size: int, augmentation: Augmentation, seed: int, partner: None = None) -> Iterator[Batch]:
        for inputs, labels in zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True):
            yield Batch(inputs, labels, labels)


class Recording(TeacherFree):
    """Tf-FD that notes [cross-entropy, weighted loss] of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.trace: list[list[float]] = []

    def forward(self, step: Step) -> dict[str, Tensor]:
        terms = super().forward(step)
        loss = LAMBDA_INTRA * terms["intra"] + LAMBDA_INTER * terms["inter"]
        self.trace.append([F.cross_entropy(step.student.logits, step.labels).item(), loss.item()])
        return terms


def train_one_epoch(student: Student, done: int) -> tuple[np.ndarray, Row]:
    """Train the epoch after `done` on the 8 batches; return the trace and the row of metrics.csv."""
    model, inputs, labels = student
    pictures = InOrder(inputs, labels, torch.zeros(3), torch.ones(3))
    nothing = np.arange(0)
    data = Data(pictures, None, None, classes=("",) * 10, channels=3, split=Split(nothing, nothing))
    mode, progress = Recording(), Progress(epoch=done, history=[], seconds=0.0)
    learners = Learners(model, composed({"tfd": (mode, {"intra": LAMBDA_INTRA, "inter": LAMBDA_INTER})}))
    next(train(learners, data, RECIPE, make_optimizer(learners, RECIPE), progress))
    (row,) = progress.history
    return np.array(mode.trace), row


def train_by_the_formulas(student: Student, factor: float) -> np.ndarray:
    """The same from REFERENCE's formulas: normalised maps, plain pooling, SGD written out; no code of the project."""
    model, inputs, labels = student
    velocities: dict[str, Tensor] = {}
    # The loop keeps its factor in float32; 1/20 there is off by 1e-8, which the chaos would enlarge.
    factor = torch.tensor(factor).item()
    trace = []
    for x, y in zip(inputs.split(16), labels.split(16), strict=True):
        output = model(x)
        intra, inter = [], []
        for stage in output.stages:
            saliency = F.normalize(stage.detach().flatten(2), dim=2).mean(dim=(0, 2))
            order = torch.sort(saliency, descending=True).indices
            half = len(order) // 2
            intra.append((stage[:, order[:half]] - stage[:, order[half:]]).square().mean())
        for shallow, deep in combinations(output.stages, 2):
            pooled = F.avg_pool2d(shallow, shallow.shape[2] // deep.shape[2])
            inter.append((pooled - deep[:, : pooled.shape[1]].detach()).square().mean())
        kd = LAMBDA_INTER * sum(inter) / 3 + LAMBDA_INTRA * sum(intra) / 3
        ce = -F.log_softmax(output.logits, dim=1)[torch.arange(16), y].mean()
        names, weights = zip(*model.named_parameters(), strict=True)
        gradients = torch.autograd.grad(ce + factor * kd, weights)
        with torch.no_grad():
            for name, weight, gradient in zip(names, weights, gradients, strict=True):
                gradient = gradient + WEIGHT_DECAY * weight
                velocity = MOMENTUM * velocities[name] + gradient if name in velocities else gradient
                velocities[name] = velocity
                weight -= LR * (gradient + MOMENTUM * velocity)
        trace.append([ce.item(), kd.item()])
    return np.array(trace)


@pytest.mark.parametrize(("key", "done", "factor"), TRACES)
def test_trace_in_float64(
    key: str, done: int, factor: float, golden_student: Student, golden_figures: dict[str, Any]
) -> None:
    """The script's figures where they can be met, the formulas at every step, and what the loop says of the epoch.

    1e-6 on the first two steps is float32's rounding of the figures; without weight decay the second differs by 7e-6,
    with the other warm-up factor by 4e-6. By the third their rounding has grown to 1e-3; without momentum it differs
    by 0.2. The 1e-7 of the formulas: float64's rounding, 1e-16, grows to 1e-12 or 1e-10 over the eight steps.
    """
    model, inputs, labels = golden_student
    student = model.double().train(), inputs.double(), labels
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    by_the_formulas = train_by_the_formulas(student, factor)
    model.load_state_dict(start)
    trace, row = train_one_epoch(student, done)

    np.testing.assert_allclose(trace, by_the_formulas, rtol=1e-7)
    expected = np.array(golden_figures[key])
    assert trace.shape == expected.shape == (8, 2)
    np.testing.assert_allclose(trace[:2], expected[:2], rtol=1e-6)
    np.testing.assert_allclose(trace[2], expected[2], rtol=5e-3)
    ce, kd = trace.mean(axis=0)
    assert (row["epoch"], row["lr"], row["kd_factor"]) == (done + 1, LR, factor)
    assert row["train_ce"] == pytest.approx(ce, rel=1e-6)
    assert LAMBDA_INTRA * row["intra"] + LAMBDA_INTER * row["inter"] == pytest.approx(kd, rel=1e-6)
    assert row["train_loss"] == pytest.approx(ce + factor * kd, rel=1e-7)


@pytest.mark.parametrize(("key", "done", "factor"), TRACES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_trace_in_float32(
    key: str,
    done: int,
    factor: float,
    layout: torch.memory_format,
    golden_student: Student,
    golden_figures: dict[str, Any],
) -> None:
    """As users train.

    Over layouts, thread counts and changes of the last bit the second step scatters by 1e-4 (cross-entropy) and 5e-3
    (Tf-FD, where two channels change places); a learning rate of 0.09 or no nesterov moves them by 2e-2 and more.
    """
    model, inputs, labels = golden_student
    student = model.to(memory_format=layout), inputs.contiguous(memory_format=layout), labels
    trace, _ = train_one_epoch(student, done)
    expected = np.array(golden_figures[key])
    np.testing.assert_allclose(trace[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(trace[1, 0], expected[1, 0], rtol=1e-3)
    np.testing.assert_allclose(trace[1, 1], expected[1, 1], rtol=1e-2)
    np.testing.assert_allclose(trace[2, 0], expected[2, 0], rtol=5e-2)  # scatters by 2e-2; no momentum: 0.2
    assert np.isfinite(trace).all()

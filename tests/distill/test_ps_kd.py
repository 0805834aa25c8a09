"""PS-KD against hand numbers, a naive loop and figures of the public code, over three epochs."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_finite, check_loss, normal, output
from tffd.distill import Step
from tffd.distill.ps_kd import ProgressiveSelfKD, refined_cross_entropy
from tffd.models import ModelOutput

# The number of classes, and the scores of each epoch.
GOLDEN_C = {
    "pskd.k10": ("10", ("s/logits10", "s/mid1", "s/mid2")),
    "pskd.k100": ("100", ("s/logits100", "s/logits100", "s/logits100")),
}


def past_loss(logits: Tensor, past: Tensor) -> Tensor:
    """With labels 0, 1, 2, 0, ... and a third of the past, which is given as scores."""
    labels = torch.arange(len(logits)) % 3
    return refined_cross_entropy(logits, labels, past.to(logits).softmax(dim=1), 1 / 3)


def naive(logits: Tensor, labels: Tensor, past: Tensor, share: float) -> float:
    total = 0.0
    for row, label, probabilities in zip(logits.double().tolist(), labels.tolist(), past.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(score) for score in row))
        for k, (score, probability) in enumerate(zip(row, probabilities, strict=True)):
            total -= ((1 - share) * (k == label) + share * probability) * (score - log_sum)
    return total / len(labels)


def test_by_hand() -> None:
    """A label of 1, mixed half and half with (0, 1), is (.5, .5): at rest for equal scores."""
    logits = torch.zeros(1, 2, requires_grad=True)
    loss = refined_cross_entropy(logits, torch.tensor([0]), torch.tensor([[0.0, 1.0]]), 0.5)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    torch.testing.assert_close(logits.grad, torch.zeros(1, 2))


@pytest.mark.parametrize(("count", "classes"), [(1, 2), (2, 3), (5, 7)])
@pytest.mark.parametrize("share", [0, 0.2, 1])
def test_equals_a_naive_loop(count: int, classes: int, share: float) -> None:
    logits, labels = 3 * normal(count, classes), torch.arange(count) % classes
    past = normal(count, classes, seed=1).softmax(dim=1)
    loss = refined_cross_entropy(logits, labels, past, share)
    assert loss.item() == pytest.approx(naive(logits, labels, past, share), rel=1e-5)


def test_what_every_loss_must_do() -> None:
    check_loss(past_loss, 3 * normal(4, 5), 3 * normal(4, 5, seed=1), scale=100)
    check_finite(past_loss, torch.zeros(1, 5), normal(1, 5))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """The mode itself through three epochs of one batch; what it will mix in the next is checked by its loss."""
    case, (classes, epochs) = golden_c.Case(name, dtype), GOLDEN_C[name]
    mode, labels = ProgressiveSelfKD(case.hyper["alpha_T"]), case[f"labels{classes}"]
    shapes = output(classes=int(classes), count=len(labels))
    mode.build(dataclasses.replace(setting(shapes, pictures=20), epochs=case.hyper["end_epoch"]))
    mode.to(dtype)
    for number, name_of_scores in enumerate(epochs):
        step = step_of(shapes._replace(logits=case[name_of_scores]), labels=labels, epoch=number + 1)
        loss = mode(step)["ps_kd"]
        assert loss.dtype == dtype
        last = {"loss": loss} if number == len(epochs) - 1 else {}
        case.compare_step(f"epoch{number + 1}", loss, **{f"loss_epoch{number}": loss}, **last)


def steps(mode: ProgressiveSelfKD, count: int = 4) -> Step:
    seen: ModelOutput = output(classes=5, count=count)
    mode.build(setting(seen))
    return step_of(seen)


def test_mode_remembers_each_picture_by_its_place() -> None:
    """In any order and in other company; one that was not seen has plain cross-entropy, in a later epoch too."""
    mode = ProgressiveSelfKD(0.9)
    first = steps(mode)
    assert mode(first)["ps_kd"].item() == pytest.approx(F.cross_entropy(first.student.logits, first.labels).item())
    past = first.student.logits.softmax(dim=1)
    torch.testing.assert_close(mode.past[:4], past)
    assert mode.past[4:].abs().sum() == 0
    later = output(classes=5, count=3, seed=7)
    labels = torch.tensor([2, 4, 0])
    second = dataclasses.replace(step_of(later, labels=labels, epoch=2), index=torch.tensor([2, 8, 0]))
    mixed = torch.stack([past[2], F.one_hot(labels[1], 5).float(), past[0]])
    expected = refined_cross_entropy(later.logits, labels, mixed, 0.9 * 2 / 3)
    assert mode(second)["ps_kd"].item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(mode.past[[2, 8, 0, 1]], torch.cat([later.logits.softmax(dim=1), past[1:2]]))


def test_mode_s_past_is_kept_in_checkpoints_and_is_not_trained() -> None:
    mode = ProgressiveSelfKD()
    steps(mode)
    assert {name: value.shape for name, value in mode.state_dict().items()} == {"past": (10, 5)}
    assert list(mode.parameters()) == []


def test_shares_that_are_not_valid() -> None:
    for alpha in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"from 0 to 1; got {alpha}."):
            ProgressiveSelfKD(alpha)
    with pytest.raises(ValueError, match="compares class scores of the same pictures"):
        refined_cross_entropy(normal(2, 3), torch.zeros(2, dtype=torch.int64), normal(2, 4), 0.5)

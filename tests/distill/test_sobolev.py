"""Sobolev training against hand numbers, a naive loop and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor

from tests.distill.compositions import composed, setting
from tests.distill.properties import check_at_rest, check_finite, check_loss, normal, output
from tests.golden_a import Pair
from tffd.data import Batch
from tffd.distill.sobolev import Sobolev, jacobian_loss, score_gradient
from tffd.models import create_model
from tffd.training.step import Learners, batch_losses


def naive(student: Tensor, teacher: Tensor) -> float:
    total = 0.0
    for ours, theirs in zip(student.double().flatten(1).tolist(), teacher.double().flatten(1).tolist(), strict=True):
        norms = [math.sqrt(sum(value**2 for value in row)) for row in (ours, theirs)]
        total += sum((x / norms[0] - y / norms[1]) ** 2 for x, y in zip(ours, theirs, strict=True))
    return total / student.numel()


def test_by_hand() -> None:
    """Directions (.6, .8) and (1, 0), whatever the lengths; the second picture agrees."""
    loss = jacobian_loss(torch.tensor([[3.0, 4.0], [0.0, -7.0]]), torch.tensor([[9.0, 0.0], [0.0, -1.0]]))
    assert loss.item() == pytest.approx((0.4**2 + 0.8**2) / 4)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 5), (4, 1, 2, 3)])
def test_equals_a_naive_loop(shape: tuple[int, ...]) -> None:
    student, teacher = normal(*shape), normal(*shape, seed=1)
    assert jacobian_loss(student, teacher).item() == pytest.approx(naive(student, teacher), rel=1e-5)


def test_what_every_loss_must_do() -> None:
    """A gradient of zeros has no direction, and does no harm."""
    check_loss(jacobian_loss, normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1))
    check_at_rest(jacobian_loss, normal(2, 3, 4, 4))
    check_finite(jacobian_loss, torch.zeros(2, 3, 4, 4), normal(2, 3, 4, 4))


def test_gradients_of_the_right_class() -> None:
    """Of a linear network they are the rows of its matrix."""
    weight, pictures = normal(5, 4), normal(3, 4, seed=1).requires_grad_()
    labels = torch.tensor([4, 0, 2])
    torch.testing.assert_close(score_gradient(pictures @ weight.mT, labels, pictures), weight[labels])


def test_golden_a(golden_pair: Pair, golden_student: tuple[object, Tensor, Tensor]) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does; the figures' rounding is that of two passes."""
    inputs, labels = golden_student[1][:16].double().requires_grad_(), golden_student[2][:16]
    ours = score_gradient(golden_pair.network(inputs).logits, labels, inputs, create_graph=True)
    theirs = score_gradient(golden_pair.teacher_network(inputs).logits, labels, inputs)
    golden_pair.compare("sobolev", jacobian_loss(ours, theirs), forward=2e-5, gradient=1e-5)


def test_mode_differentiates_both_networks() -> None:
    """With respect to the pictures; the student's weights learn by it and the teacher's do not."""
    torch.manual_seed(0)
    student, teacher = (create_model("resnet8", 3, in_channels=3).eval() for _ in range(2))
    learners = Learners(student, composed({"sobolev": (Sobolev(), {"sobolev": 1.0})}), teacher)
    learners.distillation.cross_entropy = 0
    given = Batch(normal(4, 3, 8, 8), torch.tensor([0, 1, 2, 0]), torch.arange(4))
    loss, _ = batch_losses(learners, given, 1, 0, {"sobolev": torch.ones(())})
    inputs = given.inputs.requires_grad_()
    gradients = []
    for network in (student, teacher):
        scores = network(inputs).logits.gather(1, given.labels[:, None]).flatten()
        each = [torch.autograd.grad(score, inputs, retain_graph=True)[0][b] for b, score in enumerate(scores)]
        gradients.append(torch.stack(each))
    assert loss.item() == pytest.approx(naive(*gradients), rel=1e-4)
    loss.backward()
    assert student.conv1.weight.grad is not None and teacher.conv1.weight.grad is None


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"student's is \(2, 3\) and the teacher's \(2, 4\)"):
        jacobian_loss(normal(2, 3), normal(2, 4))
    with pytest.raises(ValueError, match="Use a teacher that was trained on the same classes"):
        Sobolev().check(setting(output((3, 4, 4)), output((3, 4, 4), classes=4)))

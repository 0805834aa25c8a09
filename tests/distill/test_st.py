"""Soft targets against hand numbers, a naive loop and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.golden_a import Pair
from tffd.distill.st import SoftTargets, soft_targets, standardise_logits
from tffd.models import ModelOutput

# float32 carries 7 digits: 1e-5 relative, as between any two orders of summation. Where two networks agree,
# terms of the size of 1 cancel.
CLOSE = {"rel": 1e-5, "abs": 1e-6}

# Student's and teacher's scores, and whether they are standardised.
GOLDEN_C = {
    "rep.kd.k10": ("s/logits10", "t/logits10", False),
    "rep.kd.k100": ("s/logits100", "t/logits100", False),
    "kdzoo.st": ("s/logits100", "t/logits100", False),
    "mdist.kd": ("s/logits100", "t/logits100", False),
    "lskd.kd.k10.t2": ("s/logits10", "t/logits10", True),
    "lskd.kd.k100.t2": ("s/logits100", "t/logits100", True),
    "lskd.kd.k100.t4": ("s/logits100", "t/logits100", True),
}


def scores(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_softmax(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(score / temperature) for score in row]
    return [power / sum(powers) for power in powers]


def naive_soft_targets(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for ours, theirs in zip(student.double().tolist(), teacher.double().tolist(), strict=True):
        pairs = zip(naive_softmax(ours, temperature), naive_softmax(theirs, temperature), strict=True)
        total += sum(q * math.log(q / p) for p, q in pairs)
    return temperature**2 * total / len(student)


def naive_standardise(logits: Tensor) -> Tensor:
    rows = []
    for row in logits.double().tolist():
        mean = sum(row) / len(row)
        std = math.sqrt(sum((score - mean) ** 2 for score in row) / (len(row) - 1))
        rows.append([(score - mean) / (std + 1e-7) for score in row])
    return torch.tensor(rows, dtype=torch.float64)


# --- by hand and by a naive loop


def test_by_hand() -> None:
    """At T = 2, the student says 1/2, 1/2 and the teacher 3/4, 1/4; the second picture is agreed on."""
    student = torch.tensor([[1.0, 1.0], [0.0, 5.0]]).requires_grad_()
    teacher = torch.tensor([[2 * math.log(3), 0.0], [1.0, 6.0]])
    loss = soft_targets(student, teacher, 2)
    assert loss.item() == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 2, rel=1e-6)
    loss.backward()
    # T / B times (p - q): the T of the softmax takes one of the two of T^2 away.
    torch.testing.assert_close(student.grad, torch.tensor([[-0.25, 0.25], [0.0, 0.0]]))


@pytest.mark.parametrize("shape", [(1, 2), (1, 7), (2, 10), (5, 100), (3, 1)])
@pytest.mark.parametrize("temperature", [1, 4.0, 0.5])
def test_equals_a_naive_loop(shape: tuple[int, int], temperature: float) -> None:
    """One picture and several, two classes and many, and one class, which leaves nothing to learn."""
    student, teacher = scores(*shape), scores(*shape, seed=1)
    loss = soft_targets(student, teacher, temperature)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(naive_soft_targets(student, teacher, temperature), **CLOSE)


@pytest.mark.parametrize("shape", [(1, 3), (2, 10), (5, 100), (4, 2)])
def test_standardised_equals_a_naive_loop(shape: tuple[int, int]) -> None:
    """Both networks' scores are; their scale and offset count no more. Two classes leave nothing but their order."""
    student, teacher = scores(*shape), scores(*shape, seed=1)
    torch.testing.assert_close(standardise_logits(student), naive_standardise(student).float())
    loss = soft_targets(student, teacher, 2, standardise=True)
    expected = naive_soft_targets(naive_standardise(student), naive_standardise(teacher), 2)
    assert loss.item() == pytest.approx(expected, **CLOSE)
    assert soft_targets(5 * student + 2, teacher - 3, 2, standardise=True).item() == pytest.approx(
        expected, rel=1e-4, abs=1e-6
    )


def test_equal_scores_are_at_rest() -> None:
    """No loss and no gradient but for rounding."""
    student = scores(4, 10).requires_grad_()
    for standardise in (False, True):
        loss = soft_targets(student, student.detach(), 4, standardise)
        (gradient,) = torch.autograd.grad(loss, student)
        assert loss.item() == pytest.approx(0, abs=1e-6) and gradient.abs().max().item() == pytest.approx(0, abs=1e-6)


def test_teacher_receives_no_gradient() -> None:
    """Even if it could."""
    student, teacher = scores(2, 5).requires_grad_(), scores(2, 5, seed=1).requires_grad_()
    soft_targets(student, teacher, 4).backward()
    assert teacher.grad is None and student.grad is not None and student.grad.abs().sum() > 0


@pytest.mark.parametrize("standardise", [False, True])
def test_gradient_against_finite_differences(standardise: bool) -> None:
    """In float64."""
    student, teacher = scores(3, 5).double().requires_grad_(), scores(3, 5, seed=1).double()
    assert torch.autograd.gradcheck(lambda logits: soft_targets(logits, teacher, 2, standardise), student)


# --- figures of the public code


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Value and gradient, with and without standardisation."""
    case, (student, teacher, standardise) = golden_c.Case(name, dtype), GOLDEN_C[name]
    case.compare(soft_targets(case[student], case[teacher], case.hyper["T"], standardise))


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does."""
    golden_pair.compare("st", soft_targets(golden_pair.student.logits, golden_pair.teacher.logits, 4))


# --- precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("standardise", [False, True])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, autocast: bool, standardise: bool) -> None:
    """The same number as for the same scores in float32, and a finite gradient, with scores up to thousands."""
    student, teacher = (1e3 * scores(4, 10)).to(dtype).requires_grad_(), (1e3 * scores(4, 10, seed=1)).to(dtype)
    expected = soft_targets(student.float(), teacher.float(), 4, standardise)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = soft_targets(student, teacher, 4, standardise)
    assert loss.dtype == torch.float32 and loss.item() == expected.item() and math.isfinite(loss.item())
    loss.backward()
    assert student.grad is not None and student.grad.dtype == dtype and student.grad.isfinite().all()


def test_scores_that_are_all_equal() -> None:
    """A network with zeros in its last layer: the spread is 0, and nothing is divided by it."""
    student = torch.zeros(2, 5, requires_grad=True)
    loss = soft_targets(student, scores(2, 5), 2, standardise=True)
    loss.backward()
    assert loss.isfinite() and student.grad is not None and student.grad.isfinite().all()


# --- errors


def test_other_classes_are_refused() -> None:
    """With both shapes and the way out."""
    expected = r"the student's have shape \(2, 10\) and the teacher's \(2, 100\). Use a teacher that was trained on the"
    with pytest.raises(ValueError, match=expected):
        soft_targets(scores(2, 10), scores(2, 100), 4)


def test_other_batch_is_refused() -> None:
    """Would broadcast."""
    with pytest.raises(ValueError, match=r"\(2, 10\) and the teacher's \(1, 10\).*pass one batch"):
        soft_targets(scores(2, 10), scores(1, 10), 4)


@pytest.mark.parametrize("shape", [(10,), (2, 10, 1), (0, 10), (2, 0)])
def test_what_is_no_class_score_is_refused(shape: tuple[int, ...]) -> None:
    """By both functions, which name themselves."""
    wrong = torch.ones(shape)
    with pytest.raises(ValueError, match="^soft_targets needs non-empty class scores") as caught:
        soft_targets(wrong, wrong, 4)
    assert str(caught.value).endswith(f"[B, K]; got shape {shape}.")
    with pytest.raises(ValueError, match="^standardise_logits needs non-empty class scores"):
        standardise_logits(wrong)


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf])
def test_temperatures_that_cannot_divide(temperature: float) -> None:
    """The message names the value."""
    with pytest.raises(ValueError, match=f"finite and above 0; got {temperature}."):
        soft_targets(scores(2, 3), scores(2, 3), temperature)


def test_one_class_has_no_spread() -> None:
    """Its standard deviation would be NaN."""
    with pytest.raises(ValueError, match=r"at least 2 classes; got shape \(3, 1\). Train on more classes"):
        soft_targets(scores(3, 1), scores(3, 1), 4, standardise=True)


# --- the kd_mode


def test_mode_is_the_loss_with_its_settings() -> None:
    student, teacher = (ModelOutput(scores(4, 5, seed=i), (), (), torch.zeros(4), torch.zeros(4)) for i in (0, 1))
    mode = SoftTargets(temperature=2.0, standardise=True)
    mode.check(setting(student, teacher))
    assert mode(step_of(student, teacher)) == {"st": soft_targets(student.logits, teacher.logits, 2.0, True)}


def test_mode_refuses_a_teacher_of_other_classes() -> None:
    student, teacher = (ModelOutput(scores(4, k), (), (), torch.zeros(4), torch.zeros(4)) for k in (5, 6))
    with pytest.raises(ValueError, match=r"student's have shape \(4, 5\) and the teacher's \(4, 6\)"):
        SoftTargets().check(setting(student, teacher))

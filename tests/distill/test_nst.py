"""Neuron selectivity against hand numbers, a naive loop and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_layout, check_loss, normal, output
from tests.golden_a import Pair
from tffd.distill.nst import NeuronSelectivity, neuron_selectivity

# The student's and the teacher's pyramid.
GOLDEN_C = {
    "rep.nst.t_eq": ("s", "t_eq"),
    "rep.nst.t_df": ("s", "t_df"),
    "rep.nst.t_sz": ("s", "t_sz"),
    "kdzoo.nst": ("s", "t_df"),
    "mdist.nst": ("s", "t_sz"),
}
# Student's and teacher's maps: equal, wider, either larger, one picture, one position.
SHAPES = [
    ((2, 3, 4, 4), (2, 3, 4, 4)),
    ((3, 3, 4, 5), (3, 7, 4, 5)),
    ((2, 3, 8, 8), (2, 6, 4, 4)),
    ((2, 3, 3, 2), (2, 4, 7, 5)),
    ((1, 4, 2, 2), (1, 2, 1, 1)),
]


def naive(student: Tensor, teacher: Tensor) -> float:
    """The paper's discrepancy, pair of channels by pair of channels."""
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    pooled = (F.adaptive_avg_pool2d(maps.double(), size).flatten(2) for maps in (student, teacher))
    ours, theirs = (
        [[[x / math.hypot(*c) for x in c] for c in picture] for picture in maps.tolist()] for maps in pooled
    )

    def kernel(first: list[list[float]], second: list[list[float]]) -> float:
        products = [sum(x * y for x, y in zip(a, b, strict=True)) ** 2 for a in first for b in second]
        return sum(products) / len(products)

    each = [kernel(t, t) + kernel(s, s) - 2 * kernel(s, t) for s, t in zip(ours, theirs, strict=True)]
    return sum(each) / len(each)


def test_by_hand() -> None:
    """Two channels (3, 4) / 5 and (0, 1), against one of (1, 0): 1 + (1 + 1 + 2 * 0.64) / 4 - 2 * (0.36 + 0) / 2."""
    student, teacher = torch.tensor([[[[3.0, 4.0]], [[0.0, 2.0]]]]), torch.tensor([[[[7.0, 0.0]]]])
    assert neuron_selectivity(student, teacher).item() == pytest.approx(1 + 3.28 / 4 - 0.36, rel=1e-6)


@pytest.mark.parametrize(("student", "teacher"), SHAPES)
def test_equals_a_naive_loop(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    ours, theirs = normal(*student), normal(*teacher, seed=1)
    loss = neuron_selectivity(ours, theirs)
    # Terms of the size of 1 cancel, so that what is 0 comes out as 1e-7 in float32.
    assert loss.item() == pytest.approx(naive(ours, theirs), rel=1e-5, abs=1e-6)
    check_layout(neuron_selectivity, ours + 1, theirs)


def test_what_every_loss_must_do() -> None:
    check_loss(neuron_selectivity, normal(2, 3, 4, 4), normal(2, 4, 3, 2, seed=1))
    check_at_rest(neuron_selectivity, normal(2, 3, 4, 4))
    check_finite(neuron_selectivity, normal(1, 3, 4, 4), normal(1, 5, 2, 2))


def test_channels_that_are_dead() -> None:
    """They are at right angles to all; the gradients of the others are those without them, per pair of channels."""
    student = normal(2, 4, 4, 4)
    student[:, 2:] = 0
    ours, teacher = student.requires_grad_(), normal(2, 3, 4, 4, seed=1)
    (gradient,) = torch.autograd.grad(neuron_selectivity(ours, teacher), ours)
    assert gradient.isfinite().all() and gradient[:, 2:].abs().max() == 0 and gradient[:, :2].abs().max() > 0


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """The sum over three stages, and each of them where the case has it."""
    case, (student, teacher) = golden_c.Case(name, dtype), GOLDEN_C[name]
    pairs = zip(case.stages(student), case.stages(teacher), strict=True)
    each = {f"stage{number}": neuron_selectivity(*maps) for number, maps in enumerate(pairs, 1)}
    case.compare(torch.stack(list(each.values())).sum(), **{k: v for k, v in each.items() if "terms" in case.expected})


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does: the last stage."""
    golden_pair.compare("nst", neuron_selectivity(golden_pair.student.stages[-1], golden_pair.teacher.stages[-1]))


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^neuron_selectivity needs non-empty feature maps .* got shape \(2, 4\)"):
        neuron_selectivity(normal(2, 4), normal(2, 4, 1, 1))
    with pytest.raises(ValueError, match="the batch sizes are 1 and 2"):
        neuron_selectivity(normal(1, 3, 4, 4), normal(2, 3, 4, 4))


def test_mode_compares_all_stages_or_the_last() -> None:
    student, teacher = output((3, 4, 4), (4, 2, 2)), output((5, 4, 4), (6, 2, 2), seed=1)
    mode = NeuronSelectivity()
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    each = [neuron_selectivity(*maps).item() for maps in zip(student.stages, teacher.stages, strict=True)]
    assert mode(step_of(student, teacher))["nst"].item() == pytest.approx(sum(each), rel=1e-6)
    last = NeuronSelectivity(stages="last", reduction="mean")
    last.build(setting(student, teacher))
    assert last(step_of(student, teacher))["nst"].item() == pytest.approx(each[1], rel=1e-6)
    with pytest.raises(ValueError, match="the student has 2 stages and the teacher 1"):
        mode.check(setting(student, output((3, 4, 4))))

"""Similarity preservation against hand numbers, a naive loop and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_layout, check_loss, normal, output
from tests.golden_a import Pair
from tffd.distill.sp import SimilarityPreserving, similarity_preserving

GOLDEN_C = {
    "rep.sp.t_eq": ("s/f3", "t_eq/f3"),
    "rep.sp.t_df": ("s/f3", "t_df/f3"),
    "rep.sp.t_sz": ("s/f3", "t_sz/f3"),
    "kdzoo.sp": ("s/f3", "t_df/f3"),
    "mdist.sp": ("s/f3", "t_df/f3"),
}
# Student's and teacher's maps: equal, wider, of another size, one picture.
SHAPES = [
    ((2, 3, 4, 4), (2, 3, 4, 4)),
    ((5, 3, 4, 5), (5, 7, 4, 5)),
    ((3, 3, 8, 8), (3, 6, 5, 4)),
    ((1, 2, 5, 5), (1, 4, 1, 1)),
]


def naive(student: Tensor, teacher: Tensor) -> float:
    def similarities(maps: list[list[float]]) -> list[list[float]]:
        gram = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in maps] for a in maps]
        return [[g / math.hypot(*row) for g in row] for row in gram]

    ours, theirs = (similarities(maps.double().flatten(1).tolist()) for maps in (student, teacher))
    squares = [(a - b) ** 2 for rows in zip(ours, theirs, strict=True) for a, b in zip(*rows, strict=True)]
    return sum(squares) / len(squares)


def test_by_hand() -> None:
    """Similarities (9, 12; 12, 16) are (3, 4; 3, 4) / 5, and (1, 0; 0, 1) for maps that share no position."""
    student, teacher = torch.tensor([[[[3.0]]], [[[4.0]]]]), torch.tensor([[[[2.0, 0.0]]], [[[0.0, 7.0]]]])
    expected = (0.4**2 + 0.8**2 + 0.6**2 + 0.2**2) / 4
    assert similarity_preserving(student, teacher).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("student", "teacher"), SHAPES)
def test_equals_a_naive_loop(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """One picture is similar to itself alone, in both networks."""
    ours, theirs = normal(*student), normal(*teacher, seed=1)
    expected = naive(ours, theirs)
    assert similarity_preserving(ours, theirs).item() == pytest.approx(expected, rel=1e-5, abs=1e-12)
    check_layout(similarity_preserving, ours, theirs)


def test_what_every_loss_must_do() -> None:
    check_loss(similarity_preserving, normal(3, 2, 3, 2), normal(3, 4, 4, 4, seed=1))
    check_at_rest(similarity_preserving, normal(3, 3, 4, 4))
    check_finite(similarity_preserving, normal(1, 3, 4, 4), normal(1, 5, 2, 2))


def test_a_picture_that_leaves_nothing() -> None:
    """A ReLU may leave zeros alone in a map; its row has no direction, and no gradient of 1e12."""
    student = normal(3, 2, 4, 4)
    student[1] = 0
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(similarity_preserving(student, normal(3, 2, 4, 4, seed=1)), student)
    assert 0 < gradient.abs().max() < 1


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    case, (student, teacher) = golden_c.Case(name, dtype), GOLDEN_C[name]
    case.compare(similarity_preserving(case[student], case[teacher]))


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does: the mean over the stages."""
    student, teacher = golden_pair.student, golden_pair.teacher
    mode = SimilarityPreserving(stages=None, reduction="mean")
    mode.build(setting(student, teacher))
    golden_pair.compare("sp", mode(step_of(student, teacher))["sp"])


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^similarity_preserving needs non-empty feature maps .* got shape \(2, 4\)"):
        similarity_preserving(normal(2, 4), normal(2, 4, 1, 1))
    with pytest.raises(ValueError, match="the batch sizes are 1 and 2"):
        similarity_preserving(normal(1, 3, 4, 4), normal(2, 3, 4, 4))


def test_mode_compares_the_last_stages() -> None:
    """Or those that it is given, in any number of them."""
    student, teacher = output((3, 4, 4), (4, 2, 2)), output((3, 4, 4), (3, 4, 4), (6, 2, 2), seed=1)
    mode = SimilarityPreserving()
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    assert mode(step_of(student, teacher)) == {"sp": similarity_preserving(student.stages[1], teacher.stages[2])}
    mode = SimilarityPreserving(stages=[[1, 2], [2, 3]])
    mode.build(setting(student, teacher))
    each = [
        similarity_preserving(ours, theirs) for ours, theirs in zip(student.stages, teacher.stages[1:], strict=True)
    ]
    assert mode(step_of(student, teacher))["sp"].item() == pytest.approx(sum(each).item(), rel=1e-6)
    with pytest.raises(ValueError, match="the student has 2 stages and the teacher 3"):
        SimilarityPreserving(stages=None).check(setting(student, teacher))

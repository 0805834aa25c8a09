"""Relational distillation against hand numbers, a naive loop and figures of the public code."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import Loss, check_at_rest, check_finite, check_loss, normal, output
from tests.golden_a import Pair
from tffd.distill.rkd import Relational, angle_relation, distance_relation

LOSSES = [distance_relation, angle_relation]
# Student's and teacher's vectors; the case of mdistiller does not name its weights, which are 25 and 50.
GOLDEN_C = dict.fromkeys(("rep.rkd", "rep.rkd.parts", "kdzoo.rkd", "mdist.rkd"), ("s/pool64", "t/pool128"))
SHAPES = [((2, 3), (2, 3)), ((5, 3), (5, 8)), ((4, 6), (4, 1)), ((1, 3), (1, 2))]

Vectors = list[list[float]]


def smooth_l1(x: float) -> float:
    return x * x / 2 if abs(x) < 1 else abs(x) - 0.5


def naive_distance(student: Tensor, teacher: Tensor) -> float:
    def distances(vectors: Vectors) -> Vectors:
        each = [[math.dist(a, b) for b in vectors] for a in vectors]
        positive = [d for row in each for d in row if d > 0]
        mean = sum(positive) / len(positive) if positive else 1
        return [[d / mean for d in row] for row in each]

    ours, theirs = (distances(vectors.double().tolist()) for vectors in (student, teacher))
    count = len(ours)
    return sum(smooth_l1(ours[a][b] - theirs[a][b]) for a, b in product(range(count), repeat=2)) / count**2


def naive_angle(student: Tensor, teacher: Tensor) -> float:
    def cosine(vectors: Vectors, a: int, b: int, c: int) -> float:
        if a in (b, c):
            return 0
        to_b, to_c = ([x - y for x, y in zip(vectors[other], vectors[a], strict=True)] for other in (b, c))
        return sum(x * y for x, y in zip(to_b, to_c, strict=True)) / math.hypot(*to_b) / math.hypot(*to_c)

    ours, theirs = (vectors.double().tolist() for vectors in (student, teacher))
    triples = list(product(range(len(ours)), repeat=3))
    return sum(smooth_l1(cosine(ours, *each) - cosine(theirs, *each)) for each in triples) / len(triples)


def test_distance_by_hand() -> None:
    """Three points on a line: distances 1, 1, 2 by their mean 4/3; the teacher's are all equal, so all 1."""
    student = torch.tensor([[0.0], [1.0], [2.0]])
    teacher = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    expected = (4 * 0.25**2 + 2 * 0.5**2) / 2 / 9
    assert distance_relation(student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_angle_by_hand() -> None:
    """On a line the cosines are 1, -1, 1, in an equilateral triangle all 1/2; with b = c both are 1."""
    student = torch.tensor([[0.0], [1.0], [2.0]])
    teacher = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    expected = (2 * (0.5**2 / 2 + 0.5**2 / 2) + 2 * (1.5 - 0.5)) / 27
    assert angle_relation(student, teacher).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("student", "teacher"), SHAPES)
def test_equal_naive_loops(student: tuple[int, int], teacher: tuple[int, int]) -> None:
    """Vectors of any widths; one picture has no relations, and its losses are 0."""
    ours, theirs = normal(*student), 3 * normal(*teacher, seed=1)
    distance, angle = distance_relation(ours, theirs), angle_relation(ours, theirs)
    assert distance.item() == pytest.approx(naive_distance(ours, theirs), rel=1e-5, abs=1e-12)
    assert angle.item() == pytest.approx(naive_angle(ours, theirs), rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_every_loss_must_do(loss: Loss) -> None:
    check_loss(loss, normal(4, 3), normal(4, 5, seed=1))
    check_at_rest(loss, normal(4, 3))
    check_finite(loss, normal(1, 3), normal(1, 5))
    check_finite(loss, torch.zeros(3, 3), normal(3, 5))


@pytest.mark.parametrize("loss", LOSSES)
def test_place_and_scale_do_not_count(loss: Loss) -> None:
    student, teacher = normal(5, 3), normal(5, 4, seed=1)
    expected = loss(student, teacher).item()
    assert loss(2 * student + 1, teacher / 2 - 1).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_two_pictures_in_one_place(loss: Loss) -> None:
    """They have no direction from one to the other, and no gradient that would divide by their distance of 0."""
    student = normal(4, 3)
    student[1] = student[0]
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(student, normal(4, 5, seed=1)), student)
    assert 0 < gradient.abs().max() < 1


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """The weighted sum, and both parts where the case has them."""
    case, (student, teacher) = golden_c.Case(name, dtype), GOLDEN_C[name]
    distance, angle = (loss(case[student], case[teacher]) for loss in LOSSES)
    weights = [
        case.hyper.get("w_d", case.hyper.get("w_dist", 25)),
        case.hyper.get("w_a", case.hyper.get("w_angle", 50)),
    ]
    parts = {"distance": distance, "angle": angle} if "terms" in case.expected else {}
    case.compare(weights[0] * distance + weights[1] * angle, **parts)


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does."""
    distance, angle = (loss(golden_pair.student.pooled, golden_pair.teacher.pooled) for loss in LOSSES)
    golden_pair.compare("rkd", 25 * distance + 50 * angle)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_cannot_be_compared_is_refused(loss: Loss) -> None:
    with pytest.raises(ValueError, match=r"needs a vector for each picture, \[B, D\]; got shape \(2, 4, 1\)"):
        loss(normal(2, 4, 1), normal(2, 4))
    with pytest.raises(ValueError, match="the batch sizes are 1 and 2"):
        loss(normal(1, 3), normal(2, 3))


def test_mode_computes_the_terms_that_count() -> None:
    student, teacher = output(pooled=4, count=5), output(pooled=6, count=5, seed=1)
    mode = Relational()
    mode.check(setting(student, teacher))
    expected = {"rkd_distance": distance_relation, "rkd_angle": angle_relation}
    assert mode(step_of(student, teacher)) == {
        term: loss(student.pooled, teacher.pooled) for term, loss in expected.items()
    }
    mode.active = ("rkd_angle",)
    assert list(mode(step_of(student, teacher))) == ["rkd_angle"]

"""Probabilistic knowledge transfer against hand numbers, a naive loop and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_loss, normal, output
from tests.golden_a import Pair
from tffd.distill.pkt import ProbabilisticTransfer, neighbours, pkt

# Student's and teacher's vectors; the case of mdistiller does not name its eps.
GOLDEN_C = {
    "rep.pkt": ("s/pool64", "t/pool128", 1e-7),
    "mdist.pkt": ("s/pool64", "t/pool128", 1e-7),
    "kdzoo.pkt": ("s/pool64", "t/pool128", 1e-6),
}


def naive_neighbours(vectors: list[list[float]], eps: float) -> list[list[float]]:
    norms = [math.sqrt(sum(x * x for x in vector)) + eps for vector in vectors]
    unit = [[x / norm for x in vector] for vector, norm in zip(vectors, norms, strict=True)]
    similar = [[(1 + sum(x * y for x, y in zip(a, b, strict=True))) / 2 for b in unit] for a in unit]
    return [[s / sum(row) for s in row] for row in similar]


def naive_pkt(student: Tensor, teacher: Tensor, eps: float) -> float:
    ours, theirs = (naive_neighbours(vectors.double().tolist(), eps) for vectors in (student, teacher))
    count = len(ours)
    terms = [
        theirs[a][b] * math.log((theirs[a][b] + eps) / (ours[a][b] + eps)) for a in range(count) for b in range(count)
    ]
    return sum(terms) / count**2


def test_by_hand() -> None:
    """At right angles a pair is half as similar as each to itself; in one direction it is as similar."""
    apart, together = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[1.0], [5.0]])
    torch.testing.assert_close(neighbours(apart).float(), torch.tensor([[2 / 3, 1 / 3], [1 / 3, 2 / 3]]))
    expected = (math.log(0.5 / (2 / 3)) + math.log(0.5 / (1 / 3))) / 2 / 2
    assert pkt(apart, together).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("eps", [1e-7, 1e-6, 0.1])
@pytest.mark.parametrize(
    ("student", "teacher"), [((2, 3), (2, 3)), ((5, 3), (5, 8)), ((8, 6), (8, 1)), ((1, 3), (1, 2))]
)
def test_equals_a_naive_loop(student: tuple[int, int], teacher: tuple[int, int], eps: float) -> None:
    """Vectors of any widths; one picture has no neighbours, and its loss is 0."""
    ours, theirs = normal(*student), normal(*teacher, seed=1)
    loss = pkt(ours, theirs, eps)
    assert loss.item() == pytest.approx(naive_pkt(ours, theirs, eps), rel=1e-5, abs=1e-12)


def test_what_every_loss_must_do() -> None:
    check_loss(pkt, normal(4, 3), normal(4, 5, seed=1))
    check_at_rest(pkt, normal(4, 3), zero=1e-7)
    check_finite(pkt, normal(1, 3), normal(1, 5))
    check_finite(pkt, torch.zeros(3, 3), normal(3, 5))


def test_networks_that_are_almost_alike() -> None:
    """The loss is a hundredth of what float32 resolves of its summands, and right to 1e-4."""
    student = normal(64, 8)
    teacher = student + 1e-3 * normal(64, 8, seed=1)
    expected = naive_pkt(student, teacher, 1e-7)
    assert 0 < expected < 1e-8
    assert pkt(student, teacher).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    case, (student, teacher, eps) = golden_c.Case(name, dtype), GOLDEN_C[name]
    case.compare(pkt(case[student], case[teacher], case.hyper.get("eps", eps)))


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does, whose float32 leaves 4 digits of 7e-6."""
    loss = pkt(golden_pair.student.pooled, golden_pair.teacher.pooled, 1e-6)
    golden_pair.compare("pkt", loss, forward=1e-4, gradient=1e-4)


@pytest.mark.parametrize("shape", [(4,), (2, 4, 1), (0, 4), (2, 0)])
def test_what_is_no_vector_is_refused(shape: tuple[int, ...]) -> None:
    """On either side."""
    for sides in ((torch.ones(shape), normal(2, 4)), (normal(2, 4), torch.ones(shape))):
        with pytest.raises(ValueError, match=r"^pkt needs a vector for each picture, \[B, D\]") as caught:
            pkt(*sides)
        assert str(caught.value).endswith(f"got shape {shape}.")


def test_batches_of_different_size() -> None:
    with pytest.raises(ValueError, match="the batch sizes are 1 and 2"):
        pkt(normal(1, 3), normal(2, 3))


@pytest.mark.parametrize("eps", [0, -1e-6, math.nan, math.inf])
def test_eps_must_be_positive(eps: float) -> None:
    with pytest.raises(ValueError, match=f"finite and above 0; got {eps}."):
        ProbabilisticTransfer(eps)


def test_mode_compares_the_pooled_features() -> None:
    student, teacher = output(pooled=4, count=5), output(pooled=6, count=5, seed=1)
    mode = ProbabilisticTransfer(eps=1e-6)
    mode.check(setting(student, teacher))
    assert mode(step_of(student, teacher)) == {"pkt": pkt(student.pooled, teacher.pooled, 1e-6)}

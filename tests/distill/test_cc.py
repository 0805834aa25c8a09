"""Correlation congruence against hand numbers, naive loops and figures of the public code."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_half_precision, check_loss, normal, output
from tests.golden_a import Pair
from tffd.distill.cc import CorrelationCongruence, LinearEmbedding, correlation_congruence, neighbour_products

GOLDEN_C = {"kdzoo.cc": ("s/pool64", "t/pool128"), "rep.cc": ("s/pool64", "t/pool128")}


def naive_congruence(student: Tensor, teacher: Tensor, gamma: float, order: int) -> float:
    def kernel(vectors: list[list[float]]) -> list[list[float]]:
        unit = [[x / math.hypot(*vector) for x in vector] for vector in vectors]
        cosines = [[sum(x * y for x, y in zip(a, b, strict=True)) for b in unit] for a in unit]
        series = [
            [sum((2 * gamma * c) ** p / math.factorial(p) for p in range(order + 1)) for c in row] for row in cosines
        ]
        return [[math.exp(-2 * gamma) * value for value in row] for row in series]

    ours, theirs = (kernel(vectors.double().tolist()) for vectors in (student, teacher))
    squares = [(a - b) ** 2 for rows in zip(ours, theirs, strict=True) for a, b in zip(*rows, strict=True)]
    return sum(squares) / len(squares)


def naive_products(student: Tensor, teacher: Tensor) -> float:
    distances = (student.double() - teacher.double()).abs().tolist()
    products = [sum(x * y for x, y in zip(*pair, strict=True)) for pair in pairwise(distances)]
    return sum(products) / len(products)


def test_congruence_by_hand() -> None:
    """At right angles the series is 1; in one direction 1 + 1 + 1/2, with 2 gamma = 1; exp(-1) times that."""
    apart, together = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[1.0], [5.0]])
    loss = correlation_congruence(apart, together, gamma=0.5)
    assert loss.item() == pytest.approx(2 * (1.5 * math.exp(-1)) ** 2 / 4, rel=1e-5)


def test_products_by_hand() -> None:
    """Distances (1, 2), (3, 0), (0, 5): 3 and 0; both sides receive gradients."""
    student = torch.tensor([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]).requires_grad_()
    teacher = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 5.0]]).requires_grad_()
    loss = neighbour_products(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(3 / 2)
    torch.testing.assert_close(student.grad, torch.tensor([[1.5, 0.0], [-0.5, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(teacher.grad, -student.grad)


@pytest.mark.parametrize(("gamma", "order"), [(0.4, 2), (0.4, 1), (2.0, 5)])
@pytest.mark.parametrize(
    ("student", "teacher"), [((2, 3), (2, 3)), ((5, 3), (5, 8)), ((4, 6), (4, 1)), ((1, 3), (1, 2))]
)
def test_congruence_equals_a_naive_loop(
    student: tuple[int, int], teacher: tuple[int, int], gamma: float, order: int
) -> None:
    """Vectors of any widths; one picture correlates with itself alone, in both networks."""
    ours, theirs = normal(*student), normal(*teacher, seed=1)
    loss = correlation_congruence(ours, theirs, gamma, order)
    assert loss.item() == pytest.approx(naive_congruence(ours, theirs, gamma, order), rel=1e-5, abs=1e-12)


def test_order_approaches_the_gaussian() -> None:
    student, teacher = normal(4, 3), torch.eye(4)
    unit = student / student.norm(dim=1, keepdim=True)
    kernel = (-0.4 * torch.cdist(unit, unit).square()).exp()
    expected = (kernel - (-0.4 * torch.cdist(teacher, teacher).square()).exp()).square().mean()
    assert correlation_congruence(student, teacher, 0.4, 12).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("shape", [(2, 3), (5, 4)])
def test_products_equal_a_naive_loop(shape: tuple[int, int]) -> None:
    student, teacher = normal(*shape), normal(*shape, seed=1)
    assert neighbour_products(student, teacher).item() == pytest.approx(naive_products(student, teacher), rel=1e-5)


def test_what_every_loss_must_do() -> None:
    check_loss(correlation_congruence, normal(4, 3), normal(4, 5, seed=1))
    check_at_rest(correlation_congruence, normal(4, 3))
    check_finite(correlation_congruence, normal(1, 3), normal(1, 5))
    check_finite(correlation_congruence, torch.zeros(3, 3), normal(3, 5))
    check_half_precision(neighbour_products, 300 * normal(4, 3), 300 * normal(4, 3, seed=1))
    check_at_rest(neighbour_products, normal(4, 3))


def test_one_picture_has_no_next_one() -> None:
    """The mean over nothing would be NaN."""
    assert neighbour_products(normal(1, 3), normal(1, 3, seed=1)).item() == 0
    check_finite(neighbour_products, normal(1, 3), normal(1, 3, seed=1))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """The kernel, and the embeddings with the gradients of their weights."""
    case, (student, teacher) = golden_c.Case(name, dtype), GOLDEN_C[name]
    if name == "kdzoo.cc":
        case.compare(correlation_congruence(case[student], case[teacher], case.hyper["gamma"], case.hyper["P_order"]))
        return
    width = case.hyper["feat_dim"]
    embeddings = nn.ModuleList(LinearEmbedding(case[each].shape[1], width) for each in (student, teacher))
    case.load(embeddings, f"w/{name}")
    case.compare(neighbour_products(embeddings[0](case[student]), embeddings[1](case[teacher])))


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does."""
    golden_pair.compare("cc", correlation_congruence(golden_pair.student.pooled, golden_pair.teacher.pooled))


def test_what_cannot_be_compared_is_refused() -> None:
    for loss in (correlation_congruence, neighbour_products):
        with pytest.raises(ValueError, match=r"needs a vector for each picture, \[B, D\]; got shape \(2, 4, 1\)"):
            loss(normal(2, 4, 1), normal(2, 4))
        with pytest.raises(ValueError, match="the batch sizes are 1 and 2"):
            loss(normal(1, 3), normal(2, 3))
    with pytest.raises(ValueError, match=r"embeddings of one width; got shapes \(2, 3\) and \(2, 4\)"):
        neighbour_products(normal(2, 3), normal(2, 4))


def test_options_that_are_not_valid() -> None:
    with pytest.raises(ValueError, match="form must be one of kdzoo, repdistiller; got 'zoo'."):
        CorrelationCongruence(form="zoo")  # type: ignore[arg-type]
    for gamma, order in ((0.0, 2), (math.nan, 2), (0.4, 0)):
        with pytest.raises(ValueError, match=f"got gamma={gamma} and order={order}."):
            CorrelationCongruence(gamma=gamma, order=order)
    with pytest.raises(ValueError, match="at least 1; got 0."):
        CorrelationCongruence(width=0)


def test_mode_in_both_forms() -> None:
    """Only RepDistiller's has parts of its own."""
    student, teacher = output(pooled=4, count=5), output(pooled=6, count=5, seed=1)
    mode = CorrelationCongruence(gamma=0.5, order=3)
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    assert mode(step_of(student, teacher)) == {"cc": correlation_congruence(student.pooled, teacher.pooled, 0.5, 3)}
    assert list(mode.parameters()) == []
    mode = CorrelationCongruence(form="repdistiller", width=7)
    mode.build(setting(student, teacher))
    embedded = [embed(each.pooled) for embed, each in zip(mode.embeddings, (student, teacher), strict=True)]
    loss = mode(step_of(student, teacher))["cc"]
    assert loss.item() == pytest.approx(neighbour_products(*embedded).item(), rel=1e-6) and embedded[0].shape == (5, 7)
    loss.backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in mode.parameters())

"""Instance relationship graphs against hand numbers, naive loops and figures of the public code."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_layout, check_loss, normal, output
from tests.golden_a import Pair
from tffd.distill.irg import RelationshipGraph, edge_loss, transformation_loss
from tffd.distill.logits import logit_regression

# The student's and the teacher's pyramid and pooled vectors; the scores are the first 8.
GOLDEN_C = {"kdzoo.irg": ("s", "t_df", "s/pool8x32", "t/pool8x64", 10)}


def naive_edges(student: Tensor, teacher: Tensor) -> float:
    def distances(rows: list[list[float]]) -> list[list[float]]:
        found = [[sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) for b in rows] for a in rows]
        largest = max(max(row) for row in found) or 1
        return [[d / largest for d in row] for row in found]

    ours, theirs = (distances(features.double().flatten(1).tolist()) for features in (student, teacher))
    squares = [(a - b) ** 2 for rows in zip(ours, theirs, strict=True) for a, b in zip(*rows, strict=True)]
    return sum(squares) / len(squares)


def naive_movements(shallow: Tensor, deep: Tensor) -> list[float]:
    """Of maps of which the first is at least as large and at most as wide."""
    shallow, deep = F.adaptive_avg_pool2d(shallow.double(), deep.shape[2:]), deep.double()
    channels, group = shallow.shape[1], deep.shape[1] // shallow.shape[1]
    grouped = [deep[:, c * group : (c + 1) * group].mean(dim=1) for c in range(channels)]
    found = [
        sum(((shallow[b, c] - grouped[c][b]) ** 2).sum().item() for c in range(channels)) for b in range(len(deep))
    ]
    return [d / max(found) for d in found]


def test_edges_by_hand() -> None:
    """On a line squared distances are 1, 1, 4 by 4; the teacher's are all the same."""
    student, teacher = torch.tensor([[0.0], [1.0], [2.0]]), torch.eye(3)
    assert edge_loss(student, teacher).item() == pytest.approx(4 * 0.75**2 / 9, rel=1e-5)


def test_transformation_by_hand() -> None:
    """One picture moves by 2, the other by 1: 4/4 and 1/4; the teacher's move alike, by the mean of 2 channels."""
    student = torch.tensor([[[[1.0]]], [[[1.0]]]]), torch.tensor([[[[3.0]]], [[[2.0]]]])
    teacher = torch.tensor([[[[1.0]]], [[[1.0]]]]), torch.tensor([[[[3.0]], [[5.0]]], [[[4.0]], [[4.0]]]])
    assert transformation_loss(student, teacher).item() == pytest.approx(0.75**2 / 2)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((2, 3, 4, 4), (2, 3, 4, 4)), ((5, 3), (5, 8)), ((4, 6, 3, 2), (4, 1, 8, 8)), ((1, 3), (1, 2))],
)
def test_edges_equal_a_naive_loop(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Vectors and maps of any shapes; one picture has no edges."""
    ours, theirs = normal(*student) + 3, normal(*teacher, seed=1)
    assert edge_loss(ours, theirs).item() == pytest.approx(naive_edges(ours, theirs), rel=1e-5, abs=1e-12)


@pytest.mark.parametrize(("shallow", "deep"), [((3, 4, 4), (6, 2, 2)), ((3, 4, 4), (3, 4, 4)), ((2, 5, 4), (6, 3, 2))])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_transformation_equals_a_naive_loop(count: int, shallow: tuple[int, ...], deep: tuple[int, ...]) -> None:
    """Equal widths, twice and three times as many channels, sizes that divide or not."""
    student = normal(count, *shallow), normal(count, *deep, seed=1)
    teacher = normal(count, 4, 4, 4, seed=2), normal(count, 8, 4, 4, seed=3)
    pairs = zip(naive_movements(*student), naive_movements(*teacher), strict=True)
    expected = sum((a - b) ** 2 for a, b in pairs) / count
    assert transformation_loss(student, teacher).item() == pytest.approx(expected, rel=1e-5, abs=1e-12)
    # A network whose maps narrow is treated in the same way.
    assert transformation_loss(student[::-1], teacher).item() == pytest.approx(expected, rel=1e-5, abs=1e-12)


def of_halves(student: Tensor, teacher: Tensor) -> Tensor:
    """The transformation from the first third of the channels to the other two."""
    ours, theirs = ((maps[:, : maps.shape[1] // 3], maps[:, maps.shape[1] // 3 :]) for maps in (student, teacher))
    return transformation_loss(ours, theirs)


def test_what_every_loss_must_do() -> None:
    check_loss(edge_loss, normal(3, 3), normal(3, 5, seed=1))
    check_layout(edge_loss, normal(3, 3, 4, 4), normal(3, 5, 2, 2, seed=1))
    check_loss(of_halves, normal(3, 3, 2, 2), normal(3, 6, 4, 4, seed=1))
    for loss in (edge_loss, of_halves):
        check_at_rest(loss, normal(3, 6, 4, 4))
        check_finite(loss, normal(1, 3, 4, 4), normal(1, 6, 2, 2))
        check_finite(loss, torch.zeros(3, 3, 4, 4), normal(3, 6, 2, 2))


def graph(case: golden_c.Case, student: str, teacher: str, *rest: str | int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three terms on inputs of set C."""
    our_pooled, their_pooled, classes = rest
    maps = [(case[f"{student}/f{stage}"], case[f"{teacher}/f{stage}"]) for stage in (2, 3)]
    layers = [(case[str(our_pooled)], case[str(their_pooled)]), *maps]
    vertex = logit_regression(case[f"s/logits{classes}"][:8], case[f"t/logits{classes}"][:8])
    edges = torch.stack([edge_loss(*layer) for layer in layers]).mean()
    (our_shallow, their_shallow), (our_deep, their_deep) = maps
    return vertex, edges, transformation_loss((our_shallow, our_deep), (their_shallow, their_deep))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    case = golden_c.Case(name, dtype)
    weights = [case.hyper[weight] for weight in ("w_vert", "w_edge", "w_tran")]
    case.compare(
        sum((w * term for w, term in zip(weights, graph(case, *GOLDEN_C[name]), strict=True)), torch.zeros(()))
    )


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does."""
    student, teacher = golden_pair.student, golden_pair.teacher
    mode = RelationshipGraph()
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    terms = mode(step_of(student, teacher))
    golden_pair.compare("irg", 0.1 * terms["irg_vertex"] + 5 * terms["irg_edge"] + 5 * terms["irg_transformation"])


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"edge_loss needs non-empty features \[B, ...\]; got shape \(4,\)"):
        edge_loss(normal(4), normal(4, 1))
    with pytest.raises(ValueError, match="edge_loss compares maps of the same pictures; the batch sizes are 1 and 2"):
        edge_loss(normal(1, 3), normal(2, 3))
    with pytest.raises(ValueError, match="5 channels cannot be put in 2 equal groups"):
        transformation_loss((normal(2, 2, 4, 4), normal(2, 5, 4, 4)), (normal(2, 2, 4, 4), normal(2, 2, 4, 4)))


def test_mode_computes_the_terms_that_count() -> None:
    student, teacher = output((3, 4, 4), (6, 2, 2)), output((3, 8, 8), (4, 4, 4), (8, 2, 2), seed=1)
    mode = RelationshipGraph(stages=[[1, 2], [2, 3]])
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    terms = mode(step_of(student, teacher))
    assert list(terms) == list(mode.terms)
    assert terms["irg_transformation"] == transformation_loss(student.stages, teacher.stages[1:])  # type: ignore[arg-type]
    mode.active = ("irg_edge",)
    assert mode(step_of(student, teacher)) == {"irg_edge": terms["irg_edge"]}


def test_mode_refuses_what_it_cannot_compare() -> None:
    student, teacher = output((2, 4, 4), (3, 2, 2)), output((2, 4, 4), (4, 2, 2), seed=1)
    for stages in ([[1, 1]], [[1, 1], [1, 2]], [[2, 1], [1, 2]], [[1, 2], [2, 2]]):
        with pytest.raises(ValueError, match="must be two pairs"):
            RelationshipGraph(stages).check(setting(teacher, teacher))
    mode = RelationshipGraph([[1, 1], [2, 2]])
    with pytest.raises(ValueError, match="the student's stages have 2 and 3 channels, .* set weights.irg_transf"):
        mode.check(setting(student, teacher))
    with pytest.raises(ValueError, match="the teacher's stages have 2 and 3 channels"):
        mode.check(setting(teacher, student))
    mode.active = ("irg_vertex", "irg_edge")
    mode.check(setting(student, teacher))

"""Flow of the solution procedure against hand numbers, a naive loop and figures of the public code."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_loss, normal, output
from tests.golden_a import Pair
from tffd.distill.base import FirstStage
from tffd.distill.fsp import SolutionFlow, flow_loss, flow_matrix

# The names of the terms, and the side of the squares over which the teacher's maps are averaged first.
GOLDEN_C = {
    "rep.fsp": (("pair01", "pair12", "pair23"), 1),
    "rep.fsp.pooled": (("pair01", "pair12", "pair23"), 2),
    "kdzoo.fsp": (("stage1", "stage2", "stage3"), 1),
}


def naive_matrix(shallow: Tensor, deep: Tensor) -> list[list[list[float]]]:
    """Of maps of one size."""
    found = []
    for first, second in zip(shallow.double().flatten(2).tolist(), deep.double().flatten(2).tolist(), strict=True):
        rows = [
            [sum(a * b for a, b in zip(ours, theirs, strict=True)) / len(ours) for theirs in second] for ours in first
        ]
        found.append(rows)
    return found


def test_by_hand() -> None:
    """The shallow map is averaged to (2, 4); its products with (1, -1) and (3, 1) are averaged over two positions."""
    shallow = torch.tensor([[[[1.0, 3.0, 4.0, 4.0], [1.0, 3.0, 4.0, 4.0]]]])
    deep = torch.tensor([[[[1.0, -1.0]], [[3.0, 1.0]]]])
    torch.testing.assert_close(flow_matrix(shallow, deep), torch.tensor([[[-1.0, 5.0]]]))
    loss = flow_loss((shallow, deep), (torch.ones(1, 1, 3, 3), torch.ones(1, 2, 1, 1)))
    assert loss.item() == pytest.approx((2**2 + 4**2) / 2)


@pytest.mark.parametrize(("shallow", "deep"), [((2, 3, 4, 4), (2, 5, 4, 4)), ((1, 2, 3, 5), (1, 1, 3, 5))])
def test_equals_a_naive_loop(shallow: tuple[int, ...], deep: tuple[int, ...]) -> None:
    student, teacher = ((normal(*shallow, seed=i), normal(*deep, seed=i + 1)) for i in (0, 2))
    ours, theirs = (torch.tensor(naive_matrix(*maps)) for maps in (student, teacher))
    torch.testing.assert_close(flow_matrix(*student), ours.float())
    assert flow_loss(student, teacher).item() == pytest.approx((ours - theirs).square().mean().item(), rel=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (2, 2), (3, 5)])
def test_the_larger_map_is_averaged_down(size: tuple[int, int]) -> None:
    """Whichever it is."""
    shallow, deep = normal(2, 3, *size), normal(2, 5, 4, 4, seed=1)
    smaller = (min(size[0], 4), min(size[1], 4))
    expected = naive_matrix(F.adaptive_avg_pool2d(shallow, smaller), F.adaptive_avg_pool2d(deep, smaller))
    torch.testing.assert_close(flow_matrix(shallow, deep), torch.tensor(expected))


def test_what_every_loss_must_do() -> None:
    """The shallow map in the place of the student's tensor, and its half in that of the deep one."""

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        return flow_loss((student, student[:, :2, ::2, ::2]), (teacher, teacher[:, :2, ::2, ::2]))

    check_loss(loss, normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), scale=100)
    check_at_rest(loss, normal(2, 3, 4, 4))
    check_finite(loss, normal(1, 3, 4, 4), normal(1, 3, 6, 6))
    check_finite(loss, torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Each pair of neighbours, their sum, and the student's gradients."""
    case, (terms, side) = golden_c.Case(name, dtype), GOLDEN_C[name]
    ours = [case[f"s/f{stage}"] for stage in range(4)]
    theirs = [F.avg_pool2d(case[f"t_eq/f{stage}"], side) for stage in range(4)]
    losses = [flow_loss((ours[i], ours[i + 1]), (theirs[i], theirs[i + 1])) for i in range(3)]
    case.compare(torch.stack(losses).sum(), **dict(zip(terms, losses, strict=True)))


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does."""
    mode = SolutionFlow(reduction="mean")
    mode.build(setting(golden_pair.student, golden_pair.teacher))
    golden_pair.compare("fsp", mode(step_of(golden_pair.student, golden_pair.teacher))["fsp"])


def test_what_cannot_be_compared_is_refused() -> None:
    student = (normal(2, 3, 4, 4), normal(2, 5, 4, 4))
    with pytest.raises(ValueError, match=r"student's have shape \(2, 3, 5\) and the teacher's \(2, 3, 6\). Pass one"):
        flow_loss(student, (normal(2, 3, 4, 4), normal(2, 6, 4, 4)))
    with pytest.raises(ValueError, match="compares maps of the same pictures"):
        flow_matrix(normal(2, 3, 4, 4), normal(1, 3, 4, 4))
    with pytest.raises(ValueError, match="needs non-empty feature maps"):
        flow_matrix(normal(2, 3, 4), normal(2, 3, 4, 4))


def test_mode_relates_neighbours() -> None:
    """The stem with the first stage, which is the same map here, and so on; of teachers of other sizes and depths."""
    student, teacher = output((3, 4, 4), (4, 2, 2)), output((3, 8, 8), (9, 8, 8), (4, 4, 4), seed=1)
    mode = SolutionFlow(stages=[[1, 1], [2, 3]])
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    assert mode.first_stage == FirstStage(30, 0.2, student=True, only=True)
    first, second = student.stages
    third, _, fourth = teacher.stages
    each = [flow_loss((first, first), (third, third)), flow_loss((first, second), (third, fourth))]
    given = step_of(student, teacher)
    assert mode.first_stage_terms(given)["fsp"].item() == pytest.approx(sum(each).item(), rel=1e-6)  # type: ignore[union-attr]
    mode.stem = False
    assert mode(given)["fsp"] == each[1]


def test_mode_refuses_other_widths() -> None:
    student, teacher = output((3, 4, 4), (4, 2, 2)), output((3, 4, 4), (8, 2, 2))
    with pytest.raises(ValueError, match="stages 2 and 2 of student and teacher have 4 and 8 channels"):
        SolutionFlow().check(setting(student, teacher))
    with pytest.raises(ValueError, match="the stems of student and teacher have 4 and 3 channels"):
        SolutionFlow(stages=[[1, 1]]).check(setting(output((4, 4, 4)), teacher))
    with pytest.raises(ValueError, match="there is one alone; name more stages"):
        SolutionFlow(stem=False, stages=[[1, 1]]).check(setting(student, teacher))

"""Inter-channel correlation against hand numbers, a naive loop and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_layout, check_loss, normal, output
from tffd.distill.ickd import Embedding, InterChannel, inter_channel

# Student's and teacher's map, and the connector's name.
GOLDEN_C = {
    "ickd.f2": ("s/f2", "t_df/f2", "w/ickd.embed_s2"),
    "ickd.f3": ("s/f3", "t_df/f3", "w/ickd.embed_s3"),
}


def naive(student: Tensor, teacher: Tensor) -> float:
    def correlations(picture: list[list[float]]) -> list[list[float]]:
        gram = [[sum(x * y for x, y in zip(c, d, strict=True)) for d in picture] for c in picture]
        return [[g / math.hypot(*row) for g in row] for row in gram]

    total = 0.0
    for ours, theirs in zip(student.double().flatten(2).tolist(), teacher.double().flatten(2).tolist(), strict=True):
        rows = zip(correlations(ours), correlations(theirs), strict=True)
        total += sum((a - b) ** 2 for row in rows for a, b in zip(*row, strict=True)) / len(ours)
    return total / len(student)


def test_by_hand() -> None:
    """Two channels in one direction, against two at right angles: rows (3, 4) / 5 twice, against (1, 0) and (0, 1)."""
    student, teacher = torch.tensor([[[[3.0]], [[4.0]]]]), torch.tensor([[[[2.0, 0.0]], [[0.0, 7.0]]]])
    expected = (0.4**2 + 0.8**2 + 0.6**2 + 0.2**2) / 2
    assert inter_channel(student, teacher).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("student", "teacher"), [((2, 3, 4, 4), (2, 3, 4, 4)), ((3, 5, 2, 3), (3, 5, 4, 4)), ((1, 2, 3, 3), (1, 2, 1, 1))]
)
def test_equals_a_naive_loop(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Maps of any sizes: correlations know no positions."""
    ours, theirs = normal(*student), normal(*teacher, seed=1)
    assert inter_channel(ours, theirs).item() == pytest.approx(naive(ours, theirs), rel=1e-5)
    check_layout(inter_channel, ours, theirs)


def test_what_every_loss_must_do() -> None:
    check_loss(inter_channel, normal(2, 3, 4, 4), normal(2, 3, 2, 2, seed=1))
    check_at_rest(inter_channel, normal(2, 3, 4, 4))
    check_finite(inter_channel, normal(1, 3, 4, 4), normal(1, 3, 2, 2))


def test_channels_that_are_dead() -> None:
    """They correlate with none, and receive no gradient of 1e12."""
    student = normal(2, 4, 4, 4)
    student[:, 2:] = 0
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(inter_channel(student, normal(2, 4, 4, 4, seed=1)), student)
    assert 0 < gradient.abs().max() < 10


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Value, gradient of the student's map and of the connector's weights."""
    case, (student, teacher, prefix) = golden_c.Case(name, dtype), GOLDEN_C[name]
    embedding = case.load(Embedding(case[student].shape[1], case[teacher].shape[1]), prefix)
    case.compare(inter_channel(embedding(case[student]), case[teacher]))


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^inter_channel needs non-empty feature maps .* got shape \(2, 4\)"):
        inter_channel(normal(2, 4), normal(2, 4, 1, 1))
    with pytest.raises(ValueError, match="the batch sizes are 1 and 2"):
        inter_channel(normal(1, 3, 4, 4), normal(2, 3, 4, 4))
    with pytest.raises(ValueError, match="the student has 3 and the teacher 4. Put an Embedding between"):
        inter_channel(normal(2, 3, 4, 4), normal(2, 4, 4, 4))


def test_mode_compares_the_last_stages() -> None:
    """Or those that it is given; all of its weights learn."""
    student, teacher = output((3, 4, 4), (4, 2, 2)), output((3, 4, 4), (5, 4, 4), (6, 4, 4), seed=1)
    mode = InterChannel()
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    expected = inter_channel(mode.embeddings[0](student.stages[1]), teacher.stages[2])
    loss = mode(step_of(student, teacher))["ickd"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    loss.backward()
    assert all(weight.grad is not None for weight in mode.parameters())
    mode = InterChannel(stages=[[1, 2], [2, 3]], reduction="mean")
    mode.build(setting(student, teacher))
    pairs = zip(mode.embeddings, student.stages, teacher.stages[1:], strict=True)
    each = [inter_channel(embed(ours), theirs).item() for embed, ours, theirs in pairs]
    assert mode(step_of(student, teacher))["ickd"].item() == pytest.approx(sum(each) / 2, rel=1e-6)
    with pytest.raises(ValueError, match="the student has 2 stages and the teacher 3"):
        InterChannel(stages=None).check(setting(student, teacher))

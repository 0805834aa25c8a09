"""Attention transfer against hand numbers, a naive loop and figures of the public code."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.golden_a import Pair
from tffd.distill.at import AttentionTransfer, Form, attention_map, attention_transfer, attention_transfer_stages
from tffd.models import ModelOutput

FORMS = get_args(Form)
# float32 carries 7 digits: 1e-5 relative, as between any two orders of summation.
CLOSE = {"rel": 1e-5}

# Student's and teacher's pyramid, and whose form.
GOLDEN_C: dict[str, tuple[str, str, Form]] = {
    "rep.at.t_eq": ("s", "t_eq", "repdistiller"),
    "rep.at.t_df": ("s", "t_df", "repdistiller"),
    "rep.at.t_sz": ("s", "t_sz", "repdistiller"),
    "mdist.at": ("s", "t_sz", "repdistiller"),
    "kdzoo.at": ("s", "t_df", "kdzoo"),
}

# Student's and teacher's maps: other widths; either larger, dividing or not; crosswise; one picture; one position.
SHAPES = [
    ((2, 3, 4, 4), (2, 3, 4, 4)),
    ((2, 3, 4, 5), (2, 7, 4, 5)),
    ((2, 3, 8, 8), (2, 6, 4, 4)),
    ((2, 3, 3, 2), (2, 4, 7, 5)),
    ((2, 5, 6, 2), (2, 4, 4, 3)),
    ((1, 2, 5, 5), (1, 1, 5, 5)),
    ((1, 4, 2, 2), (1, 4, 1, 1)),
]


def maps(*shape: int, seed: int = 0) -> Tensor:
    """Return random numbers with both signs."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_pool(image: list[list[float]], height: int, width: int) -> list[list[float]]:
    def windows(size: int, out: int) -> list[range]:
        return [range(math.floor(i * size / out), math.ceil((i + 1) * size / out)) for i in range(out)]

    return [
        [sum(image[y][x] for y in ys for x in xs) / (len(ys) * len(xs)) for xs in windows(len(image[0]), width)]
        for ys in windows(len(image), height)
    ]


def naive_attention(picture: list[list[list[float]]], height: int, width: int, p: float, form: str) -> list[float]:
    """Return the attention of one picture [C][H][W]: the paper's sum of powers, over its norm."""
    pooled = [naive_pool(channel, height, width) for channel in picture]
    attention = [sum(abs(channel[y][x]) ** p for channel in pooled) for y in range(height) for x in range(width)]
    norm = math.sqrt(sum(value**2 for value in attention))
    return [value / (norm + (1e-6 if form == "kdzoo" else 0)) for value in attention]


def naive_transfer(student: Tensor, teacher: Tensor, p: float, form: str) -> float:
    height, width = (min(student.shape[i], teacher.shape[i]) for i in (2, 3))
    squares = [
        (a - b) ** 2
        for ours, theirs in zip(student.double().tolist(), teacher.double().tolist(), strict=True)
        for a, b in zip(
            naive_attention(ours, height, width, p, form), naive_attention(theirs, height, width, p, form), strict=True
        )
    ]
    return sum(squares) / len(squares)


# --- by hand and by a naive loop


@pytest.mark.parametrize("form", FORMS)
def test_by_hand(form: Form) -> None:
    """Squares add up to (3, 4), whose norm is 5; the teacher looks at the second position alone."""
    student = torch.tensor([[[[math.sqrt(2), -2.0]], [[-1.0, 0.0]]]])
    teacher = torch.tensor([[[[0.0, 7.0]]]])
    torch.testing.assert_close(attention_map(student, 2, form), torch.tensor([[0.6, 0.8]]))
    loss = attention_transfer(student, teacher, 2, form)
    assert loss.item() == pytest.approx((0.6**2 + 0.2**2) / 2, **CLOSE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", [2, 1, 3, 1.5])
@pytest.mark.parametrize(("student", "teacher"), SHAPES)
def test_equals_a_naive_loop(student: tuple[int, ...], teacher: tuple[int, ...], p: float, form: Form) -> None:
    """Widths and sizes in every relation, signs included. With one position there is nothing to learn."""
    ours, theirs = maps(*student), maps(*teacher, seed=1)
    loss = attention_transfer(ours, theirs, p, form)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(naive_transfer(ours, theirs, p, form), **CLOSE, abs=1e-12)


def test_sum_and_mean_over_stages() -> None:
    """The first stage is paired with the first, and so on."""
    student = [maps(2, 3, 8, 8), maps(2, 4, 4, 4, seed=1), maps(2, 5, 2, 2, seed=2)]
    teacher = [maps(2, 6, 8, 8, seed=3), maps(2, 4, 8, 8, seed=4), maps(2, 5, 2, 2, seed=5)]
    each = [naive_transfer(ours, theirs, 2, "repdistiller") for ours, theirs in zip(student, teacher, strict=True)]
    assert attention_transfer_stages(student, teacher).item() == pytest.approx(sum(each), **CLOSE)
    mean = attention_transfer_stages(student, teacher, reduction="mean")
    assert mean.item() == pytest.approx(sum(each) / 3, **CLOSE)
    assert attention_transfer_stages(student[:1], teacher[:1]).item() == pytest.approx(each[0], **CLOSE)


@pytest.mark.parametrize("form", FORMS)
def test_scale_of_a_network_does_not_count(form: Form) -> None:
    """Nor do repeated channels: attention is relative. The rest, 1e-4, is the 1e-6 beside the norm of one form."""
    student, teacher = maps(2, 3, 4, 4), maps(2, 3, 4, 4, seed=1)
    expected = attention_transfer(student, teacher, 2, form).item()
    scaled = attention_transfer(student * 0.1, teacher.repeat(1, 2, 1, 1) * 10, 2, form)
    assert scaled.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_equal_networks_are_at_rest(form: Form) -> None:
    """No loss and no gradient."""
    student = maps(2, 3, 4, 4).requires_grad_()
    loss = attention_transfer(student, student.detach(), 2, form)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == 0 and gradient.abs().max().item() == 0


def test_teacher_receives_no_gradient() -> None:
    """Even if it could."""
    student, teacher = maps(2, 3, 4, 4).requires_grad_(), maps(2, 3, 8, 8, seed=1).requires_grad_()
    attention_transfer(student, teacher).backward()
    assert teacher.grad is None and student.grad is not None and student.grad.abs().sum() > 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", [2, 3])
def test_gradient_against_finite_differences(p: float, form: Form) -> None:
    """In float64, through the pooling of a larger student."""
    student, teacher = maps(2, 3, 5, 4).double().requires_grad_(), maps(2, 2, 3, 4, seed=1).double()
    assert torch.autograd.gradcheck(lambda features: attention_transfer(features, teacher, p, form), student)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p", [1, 1.5, 2])
def test_dead_maps_do_not_divide_by_zero(p: float, form: Form) -> None:
    """A ReLU may leave zeros alone, in one picture or in both networks."""
    student, teacher = maps(2, 3, 4, 4).relu(), maps(2, 3, 4, 4, seed=1).relu()
    student[0], teacher[:] = 0, 0
    student.requires_grad_()
    loss = attention_transfer(student, teacher, p, form)
    loss.backward()
    assert loss.item() == pytest.approx(1 / 32, rel=1e-5)  # one picture of norm 1 against nothing, of 2 x 16 positions
    assert student.grad is not None and student.grad.isfinite().all()


# --- figures of the public code


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """The sum over three stages, each of them, and the gradients of the student's maps."""
    case, (student, teacher, form) = golden_c.Case(name, dtype), GOLDEN_C[name]
    ours, theirs, p = case.stages(student), case.stages(teacher), case.hyper.get("p", 2)
    each = {
        f"stage{number}": attention_transfer(*pair, p, form)
        for number, pair in enumerate(zip(ours, theirs, strict=True), 1)
        if f"stage{number}" in case.expected.get("terms", {})
    }
    case.compare(attention_transfer_stages(ours, theirs, p, form), **each)


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does: the mean over the stages."""
    student, teacher = golden_pair.student.stages, golden_pair.teacher.stages
    golden_pair.compare("at", attention_transfer_stages(student, teacher, 2, "kdzoo", "mean"))


# --- precision and layout


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(form: Form, dtype: torch.dtype, autocast: bool) -> None:
    """The same number as for the same maps in float32, and a finite gradient; float16 has no square of 1000."""
    student = (300 * maps(2, 3, 4, 4)).to(dtype).requires_grad_()
    teacher = (300 * maps(2, 5, 8, 8, seed=1)).to(dtype)
    expected = attention_transfer(student.float(), teacher.float(), 2, form)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = attention_transfer(student, teacher, 2, form)
    assert loss.dtype == torch.float32 and loss.item() == expected.item() and loss.item() > 0
    loss.backward()
    assert student.grad is not None and student.grad.dtype == dtype and student.grad.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("student", "teacher"), SHAPES)
def test_channels_last_equals_contiguous(student: tuple[int, ...], teacher: tuple[int, ...], form: Form) -> None:
    """Layout is a matter of speed alone."""
    ours, theirs = maps(*student), maps(*teacher, seed=1)
    last = [features.contiguous(memory_format=torch.channels_last) for features in (ours, theirs)]
    expected = attention_transfer(ours, theirs, 2, form).item()
    assert attention_transfer(*last, 2, form).item() == pytest.approx(expected, rel=1e-6)


# --- errors


@pytest.mark.parametrize("shape", [(4, 8), (8, 4, 4), (0, 8, 4, 4), (2, 8, 0, 4)])
def test_what_is_no_feature_map_is_refused(shape: tuple[int, ...]) -> None:
    """On either side."""
    wrong, right = torch.ones(shape), torch.ones(2, 8, 4, 4)
    for student, teacher in ((wrong, right), (right, wrong)):
        with pytest.raises(ValueError, match="^attention_transfer needs non-empty feature maps") as caught:
            attention_transfer(student, teacher)
        assert str(caught.value).endswith(f"got shape {shape}.")


def test_batches_of_different_size() -> None:
    """Would broadcast if one of them were 1."""
    with pytest.raises(ValueError, match="the batch sizes are 1 and 2. Pass maps of one batch."):
        attention_transfer(maps(1, 3, 4, 4), maps(2, 3, 4, 4))


@pytest.mark.parametrize(("ours", "theirs"), [(3, 2), (1, 3), (0, 0)])
def test_different_numbers_of_stages(ours: int, theirs: int) -> None:
    """None is dropped in silence."""
    stage = maps(2, 3, 4, 4)
    with pytest.raises(ValueError, match=f"the student has {ours} and the teacher {theirs}. Pass as many of each"):
        attention_transfer_stages([stage] * ours, [stage] * theirs)


def test_unknown_options() -> None:
    """The message names what there is."""
    stage = maps(2, 3, 4, 4)
    for p in (0.5, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"at least 1; got {p}."):
            attention_transfer(stage, stage, p)
    with pytest.raises(ValueError, match="form must be one of repdistiller, kdzoo; got 'zoo'."):
        attention_transfer(stage, stage, form="zoo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reduction must be one of mean, sum; got 'none'."):
        attention_transfer_stages([stage], [stage], reduction="none")  # type: ignore[arg-type]


# --- the kd_mode


def output(*shapes: tuple[int, ...], seed: int) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    stages = tuple(torch.rand(shape, generator=generator) for shape in shapes)
    return ModelOutput(torch.zeros(2, 3), stages, stages, stages[0], torch.zeros(2, 3))


def test_mode_compares_the_pairs_that_it_is_given() -> None:
    """Networks of other numbers of stages take pairs by name, and are refused without."""
    student = output((2, 3, 8, 8), (2, 4, 4, 4), seed=0)
    teacher = output((2, 6, 8, 8), (2, 6, 8, 8), (2, 8, 4, 4), seed=1)
    with pytest.raises(ValueError, match="the student has 2 stages and the teacher 3; say which learns from which"):
        AttentionTransfer().check(setting(student, teacher))
    with pytest.raises(
        ValueError, match=r"has \[2, 4\], which is no pair \[student,teacher\] of stages 1 to 2 and 1 to"
    ):
        AttentionTransfer(stages=[[1, 1], [2, 4]]).check(setting(student, teacher))
    mode = AttentionTransfer(stages=[[1, 2], [2, 3]], reduction="mean")
    mode.build(setting(student, teacher))
    expected = attention_transfer_stages(student.stages, teacher.stages[1:], reduction="mean")
    assert mode(step_of(student, teacher))["at"].item() == pytest.approx(expected.item(), rel=1e-6)

"""Hints against hand numbers, a naive loop and figures of the public code, with and without the connector."""

import pytest
import torch
from torch import Tensor, nn

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.golden_a import Pair
from tffd.distill.fitnet import FitNet, Regressor, hint
from tffd.models import ModelOutput

# Student's and teacher's (C, H, W), and the kernel that the reference's rule gives.
CONVOLUTIONS = [
    ((4, 8, 8), (6, 8, 8), (1, 1)),
    ((6, 8, 8), (4, 4, 4), (3, 3)),
    ((4, 4, 4), (6, 8, 8), (4, 4)),
    ((4, 8, 8), (6, 3, 3), (6, 6)),
    ((4, 5, 9), (6, 4, 2), (2, 8)),
    ((4, 8, 6), (6, 4, 6), (5, 1)),  # twice as many rows alone: the strided convolution would not fit
    ((4, 6, 10), (6, 3, 5), (3, 3)),
    ((1, 1, 1), (3, 1, 1), (1, 1)),
]

# Student's and teacher's map, and whether a Regressor stands between them.
GOLDEN_C = {
    "rep.hint.none": ("s/f3", "t_eq/f3", False),
    "rep.hint.t_df2": ("s/f2", "t_df/f2", True),
    "rep.hint.t_sz1": ("s/f1", "t_sz/f1", True),
    "rep.hint.t_sz2": ("s/f2", "t_sz/f2", True),
    "rep.hint.t_sz3": ("s/f3", "t_sz/f3", True),
}


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_hint(student: Tensor, teacher: Tensor) -> float:
    pairs = zip(student.double().reshape(-1).tolist(), teacher.double().reshape(-1).tolist(), strict=True)
    squares = [(a - b) ** 2 for a, b in pairs]
    return sum(squares) / len(squares)


# --- the loss


def test_by_hand() -> None:
    """Value and gradient; the teacher receives none, even if it could."""
    student = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]]).requires_grad_()
    teacher = torch.tensor([[[[1.0, 4.0]]], [[[2.0, 1.0]]]]).requires_grad_()
    loss = hint(student, teacher)
    assert loss.item() == pytest.approx((2**2 + 1**2 + 3**2) / 4)
    loss.backward()
    torch.testing.assert_close(student.grad, torch.tensor([[[[0.0, -1.0]]], [[[0.5, 1.5]]]]))
    assert teacher.grad is None


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 3, 5, 2), (4, 7)])
def test_equals_a_naive_loop(shape: tuple[int, ...]) -> None:
    """Maps, of one picture too, and vectors; and equal features are at rest."""
    student, teacher = maps(*shape), maps(*shape, seed=1)
    assert hint(student, teacher).item() == pytest.approx(naive_hint(student, teacher), rel=1e-5)
    assert hint(student, student).item() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    """The same number as for the same maps in float32, and a finite gradient; float16 has no square of 1000."""
    student, teacher = (300 * maps(2, 3, 4, 4)).to(dtype).requires_grad_(), (300 * maps(2, 3, 4, 4, seed=1)).to(dtype)
    expected = hint(student.float(), teacher.float())
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = hint(student, teacher)
    assert loss.dtype == torch.float32 and loss.item() == expected.item() and loss.isfinite()
    loss.backward()
    assert student.grad is not None and student.grad.dtype == dtype and student.grad.isfinite().all()


@pytest.mark.parametrize("other", [(2, 4, 4, 4), (2, 3, 8, 8), (1, 3, 4, 4), (2, 3, 4)])
def test_different_shapes_are_refused(other: tuple[int, ...]) -> None:
    """Some would broadcast. The message has both shapes and the way out."""
    with pytest.raises(ValueError, match="put a Regressor between networks of different shapes") as caught:
        hint(maps(2, 3, 4, 4), maps(*other))
    assert f"the student's is (2, 3, 4, 4) and the teacher's {other}." in str(caught.value)


def test_empty_features_are_refused() -> None:
    """Their mean would be NaN."""
    with pytest.raises(ValueError, match=r"not empty; got shape \(0, 3, 4, 4\)"):
        hint(maps(0, 3, 4, 4), maps(0, 3, 4, 4))


# --- the connector


@pytest.mark.parametrize(("student", "teacher", "kernel"), CONVOLUTIONS)
@pytest.mark.parametrize("batch", [2, 3])
def test_regressor_gives_the_teachers_shape(
    student: tuple[int, ...], teacher: tuple[int, ...], kernel: tuple[int, int], batch: int
) -> None:
    """By the reference's rule; what comes out has passed a ReLU, and the loss trains both sides of the connector."""
    regressor = Regressor(student, teacher)
    assert regressor.conv.kernel_size == kernel
    features = maps(batch, *student).requires_grad_()
    output = regressor(features)
    assert output.shape == (batch, *teacher) and output.min() >= 0
    hint(output, maps(batch, *teacher, seed=1)).backward()
    assert all(weight.grad is not None for weight in [features, *regressor.parameters()])


def test_regressor_equals_a_naive_loop() -> None:
    """One convolution by hand: every position alone for equal sizes, then batch statistics, then the ReLU."""
    regressor = Regressor((3, 2, 2), (5, 2, 2))
    features = maps(4, 3, 2, 2)
    weight, bias = regressor.conv.weight.detach()[:, :, 0, 0], regressor.conv.bias.detach()
    mixed = torch.einsum("oc,bchw->bohw", weight, features) + bias[:, None, None]
    mean, variance = mixed.mean(dim=(0, 2, 3)), mixed.var(dim=(0, 2, 3), unbiased=False)
    expected = ((mixed - mean[:, None, None]) / (variance + 1e-5).sqrt()[:, None, None]).clamp_min(0)
    torch.testing.assert_close(regressor(features), expected)


def test_regressor_takes_one_picture() -> None:
    """As long as a map has more than one position to take statistics of."""
    assert Regressor((3, 4, 4), (5, 4, 4))(maps(1, 3, 4, 4)).isfinite().all()


def test_regressor_under_autocast() -> None:
    """It computes in half precision, the loss behind it in float32; the gradients are those of float32 to 2 digits."""
    regressor, features, target = Regressor((3, 4, 4), (5, 4, 4)), maps(8, 3, 4, 4), maps(8, 5, 4, 4, seed=1)
    expected = torch.autograd.grad(hint(regressor(features), target), regressor.bn.weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = regressor(features)
        loss = hint(output, target.bfloat16())
    assert output.dtype == torch.bfloat16 and loss.dtype == torch.float32
    torch.testing.assert_close(torch.autograd.grad(loss, regressor.bn.weight), expected, rtol=2e-2, atol=1e-2)


@pytest.mark.parametrize(("student", "teacher", "kernel"), CONVOLUTIONS)
def test_channels_last_equals_contiguous(
    student: tuple[int, ...], teacher: tuple[int, ...], kernel: tuple[int, int]
) -> None:
    """Layout is a matter of speed alone."""
    regressor, features, target = Regressor(student, teacher), maps(2, *student), maps(2, *teacher, seed=1)
    expected = hint(regressor(features), target)
    regressor.to(memory_format=torch.channels_last)
    last = [tensor.contiguous(memory_format=torch.channels_last) for tensor in (features, target)]
    assert hint(regressor(last[0]), last[1]).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("student", "teacher"), [((3, 4, 4), (3, 6, 6)), ((3, 4, 4), (3, 8, 4)), ((3, 8, 2), (3, 4, 4))]
)
def test_sizes_without_a_convolution_are_refused(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """The reference fails there with an error about the error."""
    with pytest.raises(ValueError, match="Choose another pair of stages.") as caught:
        Regressor(student, teacher)
    ours, theirs = (f"{rows}x{columns}" for _, rows, columns in (student, teacher))
    assert f"the student's is {ours} and the teacher's {theirs}." in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (3, 4), (0, 4, 4)])
def test_what_is_no_shape_of_a_map_is_refused(shape: tuple[int, ...]) -> None:
    """On either side; the batch size does not belong there."""
    for sides in ((shape, (3, 4, 4)), ((3, 4, 4), shape)):
        with pytest.raises(ValueError, match="Leave the batch size out.") as caught:
            Regressor(*sides)
        assert f"got {shape}." in str(caught.value)


# --- figures of the public code


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Value, gradient of the student's map and of every weight of the connector."""
    case, (student, teacher, has_connector) = golden_c.Case(name, dtype), GOLDEN_C[name]
    ours, theirs = case[student], case[teacher]
    if not has_connector:
        case.compare(hint(ours, theirs))
        return
    connector: nn.Module = case.load(Regressor(ours.shape[1:], theirs.shape[1:]), f"w/{name}")
    output = connector(ours)
    case.compare(hint(output, theirs), out_sum=output.sum())


def test_golden_a(golden_pair: Pair) -> None:
    """On two real networks, as Knowledge-Distillation-Zoo does: the last stage, without a connector."""
    golden_pair.compare("fitnet", hint(golden_pair.student.stages[-1], golden_pair.teacher.stages[-1]))


# --- the kd_mode


def output(*shapes: tuple[int, ...], seed: int) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    stages = tuple(torch.rand(shape, generator=generator) for shape in shapes)
    return ModelOutput(torch.zeros(2, 3), stages, stages, stages[0], torch.zeros(2, 3))


def test_mode_puts_a_regressor_between_its_stages() -> None:
    student = output((2, 3, 8, 8), (2, 4, 8, 8), seed=0)
    teacher = output((2, 6, 8, 8), (2, 6, 4, 4), seed=1)
    mode = FitNet(stage=2)
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    assert isinstance(mode.connector, Regressor) and mode.connector.conv.weight.shape == (6, 4, 3, 3)
    expected = hint(mode.connector(student.stages[1]), teacher.stages[1])
    assert mode(step_of(student, teacher))["fitnet"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_mode_without_a_connector_compares_the_last_stages() -> None:
    """As Knowledge-Distillation-Zoo does, which takes equal shapes."""
    student, teacher = output((2, 3, 8, 8), seed=0), output((2, 6, 8, 8), (2, 3, 8, 8), seed=1)
    mode = FitNet(stage=None, connector=False)
    mode.check(setting(student, teacher))
    assert mode(step_of(student, teacher))["fitnet"].item() == hint(student.stages[0], teacher.stages[1]).item()
    with pytest.raises(ValueError, match=r"the student's is \(3, 8, 8\) and the teacher's \(6, 8, 8\). Set connector"):
        FitNet(stage=1, connector=False).check(setting(student, teacher))
    with pytest.raises(ValueError, match="stage=2 is none of the stages 1 to 1"):
        FitNet(stage=2).check(setting(student, teacher))

"""Variational information against hand numbers, a naive loop and figures of the public code."""

import math

import pytest
import torch
from torch import Tensor, nn

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_finite, check_loss, normal, output
from tffd.distill.vid import VariationalInformation, VariationalRegressor, prediction_loss
from tffd.tensors import pool_to_smaller

# The teacher's pyramid, and the stages that are compared.
GOLDEN_C = {"rep.vid.t_df": ("t_df", (1, 2, 3)), "rep.vid.t_sz": ("t_sz", (1, 2, 3)), "kdzoo.vid": ("t_df", (2,))}


def naive(prediction: Tensor, teacher: Tensor, variance: Tensor) -> float:
    total = 0.0
    for ours, theirs in zip(prediction.double().flatten(2).tolist(), teacher.double().flatten(2).tolist(), strict=True):
        for our, their, v in zip(ours, theirs, variance.tolist(), strict=True):
            total += sum(((x - y) ** 2 / v + math.log(v)) / 2 for x, y in zip(our, their, strict=True))
    return total / prediction.numel()


def test_by_hand() -> None:
    """Off by 2 at a variance of 4, and by 0 at 1; the gradient of the variance is 0 where the square equals it."""
    prediction, teacher = torch.tensor([[[[1.0]], [[2.0]]]]), torch.tensor([[[[3.0]], [[2.0]]]])
    variance = torch.tensor([4.0, 1.0]).requires_grad_()
    loss = prediction_loss(prediction, teacher, variance)
    loss.backward()
    assert loss.item() == pytest.approx((1 + math.log(4)) / 4)
    torch.testing.assert_close(variance.grad, torch.tensor([0.0, 0.25]))


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 5, 3, 2), (4, 2, 1, 1)])
def test_equals_a_naive_loop(shape: tuple[int, ...]) -> None:
    prediction, teacher, variance = normal(*shape), normal(*shape, seed=1), normal(shape[1], seed=2).exp()
    expected = naive(prediction, teacher, variance)
    assert prediction_loss(prediction, teacher, variance).item() == pytest.approx(expected, rel=1e-5)


def test_what_every_loss_must_do() -> None:
    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        return prediction_loss(student, teacher, torch.tensor([0.5, 1, 2], dtype=student.dtype))

    check_loss(loss, normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1))
    check_finite(loss, normal(1, 3, 4, 4), normal(1, 3, 4, 4))


@pytest.mark.parametrize(("initial", "eps"), [(5.0, 1e-5), (5.0, 1e-6), (0.5, 0)])
def test_regressor_begins_with_its_variance(initial: float, eps: float) -> None:
    regressor = VariationalRegressor(3, 5, initial, eps)
    torch.testing.assert_close(regressor.variance, torch.full((5,), initial))
    assert regressor(normal(2, 3, 4, 4)).shape == (2, 5, 4, 4)


def test_regressor_equals_products_by_hand() -> None:
    regressor, maps = VariationalRegressor(3, 5), normal(2, 3, 4, 4)
    weights = [weight[:, :, 0, 0] for name, weight in regressor.named_parameters() if name != "log_scale"]
    expected = maps.movedim(1, 3)
    for number, weight in enumerate(weights):
        expected = (expected.relu() if number else expected) @ weight.mT
    torch.testing.assert_close(regressor(maps), expected.movedim(3, 1))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Values, the student's gradients and those of all weights, the variance's included."""
    case, (teacher, stages) = golden_c.Case(name, dtype), GOLDEN_C[name]
    pairs = [(case[f"s/f{stage}"], case[f"{teacher}/f{stage}"]) for stage in stages]
    regressors = nn.ModuleList(
        VariationalRegressor(ours.shape[1], theirs.shape[1], eps=case.hyper["eps"]) for ours, theirs in pairs
    )
    case.load(regressors if name != "kdzoo.vid" else renamed(regressors[0]), f"w/{name}")
    losses = []
    for regressor, maps in zip(regressors, pairs, strict=True):
        ours, theirs = pool_to_smaller(*maps)
        losses.append(prediction_loss(regressor(ours), theirs, regressor.variance))
    each = {f"stage{stage}": loss for stage, loss in zip(stages, losses, strict=True) if "terms" in case.expected}
    case.compare(torch.stack(losses).sum(), **each)


def renamed(regressor: nn.Module) -> nn.Module:
    """Return the same parameters under Knowledge-Distillation-Zoo's names."""
    holder = nn.Module()
    holder.regressor, holder.alpha = regressor.regressor, regressor.log_scale
    return holder


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"prediction's is \(2, 3, 4, 4\) and the teacher's \(2, 3, 2, 2\)"):
        prediction_loss(normal(2, 3, 4, 4), normal(2, 3, 2, 2), torch.ones(3))
    with pytest.raises(ValueError, match=r"each of 3 channels; got shape \(4,\)"):
        prediction_loss(normal(2, 3, 4, 4), normal(2, 3, 4, 4), torch.ones(4))
    for initial, eps in ((1e-6, 1e-5), (5.0, -1.0), (math.nan, 0.0), (math.inf, 0.0)):
        with pytest.raises(ValueError, match=f"got initial_variance={initial} and eps={eps}."):
            VariationalInformation(initial, eps)


def test_mode_has_a_regressor_for_each_pair() -> None:
    """Of networks of other numbers of stages, widths and sizes; all of its weights learn."""
    student, teacher = output((3, 4, 4), (4, 4, 4)), output((3, 8, 8), (5, 8, 8), (6, 2, 2), seed=1)
    mode = VariationalInformation(stages=[[1, 2], [2, 3]], reduction="mean")
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    each = []
    for regressor, ours, theirs in zip(mode.regressors, student.stages, teacher.stages[1:], strict=True):
        ours, theirs = pool_to_smaller(ours, theirs)
        each.append(prediction_loss(regressor(ours), theirs, torch.full(theirs.shape[1:2], 5.0)).item())
    loss = mode(step_of(student, teacher))["vid"]
    assert loss.item() == pytest.approx(sum(each) / 2, rel=1e-5)
    loss.backward()
    assert len(list(mode.parameters())) == 8
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in mode.parameters())
    with pytest.raises(ValueError, match="the student has 2 stages and the teacher 3"):
        VariationalInformation().check(setting(student, teacher))

"""Factor transfer against hand numbers, a naive loop and figures of the public code."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_loss, normal, output
from tffd.distill.base import FirstStage
from tffd.distill.fitnet import hint
from tffd.distill.ft import FactorTransfer, Form, Paraphraser, Translator, factor_loss

# Factors as they are: the teacher's pyramid.
RAW = {f"rep.ft.raw.{pyramid}": pyramid for pyramid in ("t_eq", "t_df", "t_sz")}
# Whose form, and whether paraphraser and translator have batch norms.
WHOLE: dict[str, tuple[Form, bool, bool]] = {
    "rep.ft": ("repdistiller", False, True),
    "kdzoo.ft.bn": ("kdzoo", True, True),
    "kdzoo.ft.nobn": ("kdzoo", False, False),
}
# The paraphraser's own training, and the weights it begins with.
FIRST = {"rep.ft.stage1": "rep.ft", "kdzoo.ft.bn.stage1": "kdzoo.ft.bn", "kdzoo.ft.nobn.stage1": "kdzoo.ft.nobn"}
GOLDEN_C = [*RAW, *WHOLE, *FIRST]


def naive(student: Tensor, teacher: Tensor, form: Form) -> float:
    total, count = 0.0, 0
    for b in range(len(student)):
        vectors = []
        for maps in (student[b].double(), teacher[b].double()):
            columns = maps.flatten(1).mT.tolist()
            if form == "repdistiller":
                vector = [sum(value**2 for value in column) / len(column) for column in columns]
            else:
                vector = [value for column in columns for value in column]
            norm = math.sqrt(sum(value**2 for value in vector))
            vectors.append([value / norm for value in vector])
        total += sum(abs(x - y) for x, y in zip(*vectors, strict=True))
        count += len(vectors[0])
    return total / count


def test_by_hand() -> None:
    """Squares (9, 16) / 2 and (1, 0) / 2 of two channels, or all four numbers."""
    student, teacher = torch.tensor([[[[3.0, 0.0]], [[0.0, 4.0]]]]), torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])
    length = math.hypot(9, 16)
    assert factor_loss(student, teacher).item() == pytest.approx((1 - 9 / length + 16 / length) / 2)
    assert factor_loss(student, teacher, difference=2).item() == pytest.approx((1 - 9 / length) ** 2 / 2 + 128 / 337)
    assert factor_loss(student, teacher, "kdzoo").item() == pytest.approx((0.4 + 0.8) / 4)


@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 5, 3, 2), (4, 2, 1, 2)])
def test_equals_a_naive_loop(shape: tuple[int, ...], form: Form) -> None:
    student, teacher = normal(*shape), normal(*shape, seed=1)
    assert factor_loss(student, teacher, form).item() == pytest.approx(naive(student, teacher, form), rel=1e-5)


@pytest.mark.parametrize("form", get_args(Form))
def test_what_every_loss_must_do(form: Form) -> None:
    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        return factor_loss(student, teacher, form)

    check_loss(loss, normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1))
    check_at_rest(loss, normal(2, 3, 4, 4))
    check_finite(loss, torch.zeros(2, 3, 4, 4), normal(2, 3, 4, 4))
    check_finite(loss, normal(1, 3, 4, 4), normal(1, 3, 2, 2, seed=1))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", RAW)
def test_golden_c_of_factors(name: str, dtype: torch.dtype) -> None:
    """Of other widths and sizes, and with other powers."""
    case = golden_c.Case(name, dtype)
    student, teacher = case["s/f2"], case[f"{RAW[name]}/f2"]
    powers = {f"p1={p},p2={q}": factor_loss(student, teacher, power=p, difference=q) for p, q in ((2, 2), (1, 1))}
    loss = factor_loss(student, teacher, power=case.hyper["p1"], difference=case.hyper["p2"])
    case.compare(loss, **powers)


def networks(case: golden_c.Case, name: str) -> tuple[nn.Module, nn.Module]:
    """Return the paraphraser and the translator of a case, made by the mode."""
    form, *norms = WHOLE[name]
    mode = FactorTransfer(form, case.hyper["k"], *norms)
    student, teacher = (tuple(case[f"{group}/f2"].shape[1:]) for group in ("s", "t_df"))
    mode.build(setting(output(student), output(teacher)))
    return mode.paraphraser, mode.translator


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", WHOLE)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Values, and the gradients of the student and the translator."""
    case = golden_c.Case(name, dtype)
    paraphraser, translator = networks(case, name)
    case.load(paraphraser, f"w/{name}.paraphraser").requires_grad_(False)
    case.load(translator, f"w/{name}.translator")
    theirs, restored = paraphraser(case["t_df/f2"])
    ours = translator(case["s/f2"])
    mse = "stage1_reconstruction_mse" if name == "rep.ft" else "reconstruction_mse_eval"
    terms = {"factor_s_sum": ours.sum(), "factor_t_sum": theirs.sum(), mse: hint(restored, case["t_df/f2"])}
    case.compare(factor_loss(ours, theirs, WHOLE[name][0]), **terms)


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", FIRST)
def test_golden_c_of_the_first_stage(name: str, dtype: torch.dtype) -> None:
    """The paraphraser's gradients."""
    case = golden_c.Case(name, dtype)
    paraphraser, _ = networks(case, FIRST[name])
    case.load(paraphraser, f"w/{FIRST[name]}.paraphraser").train()
    case.compare(hint(paraphraser(case["t_df/f2"])[1], case["t_df/f2"]))


def test_mode_trains_one_network_after_the_other() -> None:
    """The paraphraser before the run proper, with its batch's statistics; the translator in it, with them kept."""
    student, teacher = output((3, 8, 8), (4, 4, 4)), output((3, 8, 8), (6, 4, 4), seed=1)
    mode = FactorTransfer(paraphraser_norm=True)
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    assert isinstance(mode.paraphraser, Paraphraser) and isinstance(mode.translator, Translator)
    assert mode.first_stage == FirstStage(30, 0.2, student=False)
    mode.train()
    before = mode.paraphraser.encoder[1].running_mean.clone()
    mode.first_stage_terms(step_of(student, teacher))["ft_reconstruction"].backward()
    kept = mode.paraphraser.encoder[1].running_mean.clone()
    assert not torch.equal(before, kept)
    assert all(weight.grad is not None for weight in mode.paraphraser.parameters())
    assert all(weight.grad is None for weight in mode.translator.parameters())
    mode.zero_grad()
    loss = mode.train()(step_of(student, teacher))["ft"]
    loss.backward()
    assert torch.equal(mode.paraphraser.encoder[1].running_mean, kept)
    assert all(weight.grad is None for weight in mode.paraphraser.parameters())
    assert all(weight.grad is not None for weight in mode.translator.parameters())
    assert FactorTransfer(first_stage_epochs=0).first_stage is None


def test_bias() -> None:
    """RepDistiller's convolutions always have one, the other's where no batch norm follows."""
    student, teacher = output((4, 4, 4)), output((6, 4, 4), seed=1)
    for form, norm in ((form, norm) for form in get_args(Form) for norm in (True, False)):
        mode = FactorTransfer(form, 0.5, norm, norm)
        mode.build(setting(student, teacher))
        biased = {each.bias is not None for each in mode.modules() if isinstance(each, nn.Conv2d | nn.ConvTranspose2d)}
        assert biased == {form == "repdistiller" or not norm}


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"student's have shape \(2, 3, 4, 4\) and the teacher's \(2, 4, 4, 4\)"):
        factor_loss(normal(2, 3, 4, 4), normal(2, 4, 4, 4), "kdzoo")
    with pytest.raises(ValueError, match="batch sizes are 2 and 3"):
        factor_loss(normal(2, 3, 4, 4), normal(3, 3, 4, 4))
    with pytest.raises(ValueError, match="got 0 and 3"):
        factor_loss(normal(2, 3, 4, 4), normal(2, 3, 4, 4), power=0, difference=3)
    with pytest.raises(ValueError, match="form must be one of repdistiller, kdzoo; got 'paper'"):
        FactorTransfer(form="paper")  # type: ignore[arg-type]
    for factor in (0, -0.5, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"above 0; got {factor}."):
            FactorTransfer(factor=factor)
    with pytest.raises(ValueError, match=r"factor=0.1 of the teacher's 4 channels is less than one .* at least 0.25"):
        FactorTransfer(factor=0.1).check(setting(output((4, 4, 4)), output((4, 4, 4))))

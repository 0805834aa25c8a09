"""CS-KD against figures of the public code; its loss is that of soft targets, whose tests have the naive loop."""

import copy
import dataclasses

import pytest
import torch
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import normal, output
from tffd.distill import Networks
from tffd.distill.cs_kd import ClassWiseSelfKD
from tffd.distill.st import soft_targets
from tffd.models import create_model

GOLDEN_C = {"cskd.k10": "10", "cskd.k100": "100"}


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """The second half of the rows are the partners; the gradient is theirs too, namely 0."""
    case, classes = golden_c.Case(name, dtype), GOLDEN_C[name]
    ours, partners = case[f"s/logits{classes}"].split(8)
    cross_entropy = F.cross_entropy(ours, case[f"labels{classes}"][:8])
    own = soft_targets(ours, partners, case.hyper["temp"])
    case.compare(cross_entropy + case.hyper["lamda"] * own, ce=cross_entropy, cls_loss=own)


def test_mode_shows_the_partners_to_the_student() -> None:
    """In train mode and without gradient; the statistics of batch norm move twice, and nothing else changes."""
    torch.manual_seed(0)
    student = create_model("resnet8", 3).train()
    pictures, partners = normal(4, 3, 8, 8), normal(4, 3, 8, 8, seed=1)
    once, twice = copy.deepcopy(student), copy.deepcopy(student)
    expected = soft_targets(once(pictures).logits, twice(partners).logits, 2)
    seen = student(pictures)
    step = step_of(seen)
    step = dataclasses.replace(step, inputs=pictures, partner=partners, networks=Networks(student, None))
    loss = ClassWiseSelfKD(2.0)(step)["cs_kd"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert student.training and int(student.bn1.num_batches_tracked) == 2
    found = torch.autograd.grad(loss, list(student.parameters()))
    wanted = torch.autograd.grad(expected, list(once.parameters()))  # of the pictures' pass alone
    for gradient, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-6)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="finite and above 0; got 0."):
        ClassWiseSelfKD(0.0)
    with pytest.raises(ValueError, match="the step has no partners"):
        ClassWiseSelfKD()(step_of(output()))
    ClassWiseSelfKD().check(setting(output()))

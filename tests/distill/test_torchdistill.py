"""The losses that torchdistill computes too, by its own code: values and gradients.

Not compared are fsp, sp, cc and crd: its formulas are others (sp's rows have their absolute sum brought to 1 where the
paper's have their length; cc's kernel takes vectors for being of length 1).
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torchdistill.losses import mid_level

from tffd.distill.ab import boundary_loss
from tffd.distill.at import attention_transfer
from tffd.distill.dist import inter_class, intra_class
from tffd.distill.ft import factor_loss
from tffd.distill.ickd import inter_channel
from tffd.distill.pkt import pkt
from tffd.distill.reviewkd import hierarchical_context
from tffd.distill.rkd import angle_relation, distance_relation
from tffd.distill.st import soft_targets
from tffd.distill.vid import prediction_loss

Loss = Callable[[Tensor, Tensor], Tensor]

SCORES, VECTORS, MAPS = (8, 10), (8, 12), (8, 6, 8, 8)
VARIANCE = torch.linspace(0.5, 3.0, 6, dtype=torch.float64)
AT = ("s", "output", "t", "output")
PAIRS = {"pair": {"student": {"path": "s", "io": "output"}, "teacher": {"path": "t", "io": "output"}}}


def theirs(name: str, *arguments: Any, **settings: Any) -> Loss:
    """A loss of torchdistill's by its public call, which asks for the outputs of modules by their names."""
    loss = getattr(mid_level, name)(*arguments, **settings)

    def call(student: Tensor, teacher: Tensor) -> Tensor:
        value: Tensor = loss({"s": {"output": student}}, {"t": {"output": teacher}})
        return value

    return call


def theirs_vid(student: Tensor, teacher: Tensor) -> Tensor:
    loss = mid_level.VIDLoss(PAIRS)
    variance = VARIANCE.view(1, -1, 1, 1)
    value: Tensor = loss({"s": {"output": (student, variance)}}, {"t": {"output": teacher}})
    return value


def theirs_review(student: Tensor, teacher: Tensor) -> Tensor:
    loss = mid_level.HierarchicalContextLoss(*AT)
    value: Tensor = loss({"s": {"output": (student, None)}}, {"t": {"output": teacher}})
    return value


RKD = {"student_output_path": "s", "teacher_output_path": "t", "reduction": "mean"}

# Its loss, ours, how many times ours it is, and the shape of what is compared.
CASES: dict[str, tuple[Loss, Loss, float, tuple[int, ...]]] = {
    "st": (theirs("KDLoss", *AT, temperature=4.0, alpha=0), lambda s, t: soft_targets(s, t, 4.0), 1 / 16, SCORES),
    "st, standardised": (
        theirs("LogitStdKDLoss", *AT, temperature=2.0, alpha=0),
        lambda s, t: soft_targets(s, t, 2.0, standardise=True),
        1 / 4,
        SCORES,
    ),
    "dist": (
        theirs("DISTLoss", *AT, beta=2.0, gamma=3.0, tau=4.0),
        lambda s, t: 2.0 * inter_class(s, t, 4.0) + 3.0 * intra_class(s, t, 4.0),
        1.0,
        SCORES,
    ),
    "at": (theirs("ATLoss", PAIRS), attention_transfer, 1.0, MAPS),
    "pkt": (theirs("PKTLoss", *AT), pkt, 1.0, VECTORS),
    "rkd, distance": (theirs("RKDLoss", dist_factor=1.0, angle_factor=0.0, **RKD), distance_relation, 1.0, VECTORS),
    "rkd, angle": (theirs("RKDLoss", dist_factor=0.0, angle_factor=1.0, **RKD), angle_relation, 1.0, VECTORS),
    "vid": (theirs_vid, lambda s, t: prediction_loss(s, t, VARIANCE), 1.0, MAPS),
    "ab": (
        theirs("AltActTransferLoss", PAIRS, 1.0, "mean"),
        lambda s, t: boundary_loss(s, t, 1.0),
        math.prod(MAPS[1:]),
        MAPS,
    ),
    "ft": (
        theirs("FTLoss", 1, paraphraser_path="t", translator_path="s"),
        lambda s, t: factor_loss(s, t, form="kdzoo"),
        1.0,
        MAPS,
    ),
    "ickd": (theirs("ChSimLoss", PAIRS), inter_channel, 1 / MAPS[0], MAPS),
    "reviewkd": (theirs_review, hierarchical_context, 1.0, MAPS),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_torchdistill_up_to_a_factor(case: str) -> None:
    them, us, factor, shape = CASES[case]
    draw = torch.Generator().manual_seed(0)
    student, teacher = (10 * torch.randn(shape, generator=draw, dtype=torch.float64) for _ in range(2))
    student.requires_grad_()
    expected, value = them(student, teacher), factor * us(student, teacher)
    # 1e-6, as tiny numbers that guard divisions differ: DIST's own code adds one where torchdistill takes the larger.
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-12)
    gradients = [torch.autograd.grad(loss, student)[0] for loss in (value, expected)]
    largest = gradients[1].abs().max().item()
    assert largest > 0
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6 * largest)

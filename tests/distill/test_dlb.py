"""DLB against figures of the public code; its loss is that of soft targets, whose tests have the naive loop."""

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import composed, setting, step_of
from tests.distill.properties import normal, output
from tests.training.test_loop import data, history, recipe
from tffd.distill import Step
from tffd.distill.dlb import LastBatch
from tffd.distill.st import soft_targets
from tffd.models import ModelOutput

GOLDEN_C = {"dlb": "s/dlb_table"}


def step(logits: Tensor, repeated: int) -> Step:
    nothing = torch.zeros(len(logits), 1)
    return dataclasses.replace(step_of(ModelOutput(logits, (), (), nothing, nothing)), repeated=repeated)


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """The mode through two steps, with the cross-entropy of all rows; nothing flows back into the first."""
    case = golden_c.Case(name, dtype)
    rows, labels, mode = case[GOLDEN_C[name]], case["dlb_labels"], LastBatch(case.hyper["T"])
    loss = F.cross_entropy(rows[:8], labels[:8]) + mode(step(rows[:8], 0))["dlb"]
    case.compare_step("step1", loss, loss_step1=loss)
    own = mode(step(rows[8:24], 8))["dlb"]
    loss = F.cross_entropy(rows[8:24], labels) + case.hyper["alpha"] * own
    case.compare_step("step2", loss, loss_step2=loss, loss=loss)


def test_mode_follows_what_it_saw_last() -> None:
    """Rows that came new in the step before, however many there are; the first step of an epoch has no term."""
    mode, scores = LastBatch(2.0), normal(10, 5)
    first = mode(step(scores[:3], 0))["dlb"]
    assert first.item() == 0 and first.dtype == torch.float32
    assert mode(step(scores[3:8], 3))["dlb"].item() == soft_targets(scores[3:6], scores[:3], 2.0).item()
    assert mode(step(scores[8:], 2))["dlb"].item() == soft_targets(scores[8:], scores[6:8], 2.0).item()
    assert mode(step(scores, 0))["dlb"].item() == 0
    assert mode.state_dict() == {}


def test_mode_in_training() -> None:
    """Two epochs of four batches: its term is at work, and the same numbers come out twice."""
    runs = [history(composed({"dlb": (LastBatch(), {"dlb": 1.0})}), data(), recipe(epochs=2)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert all(row["dlb"] > 0 for row in runs[0])


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="finite and above 0; got 0."):
        LastBatch(0.0)
    with pytest.raises(ValueError, match="this is the first that it sees"):
        LastBatch()(step(normal(4, 3), 2))
    LastBatch().check(setting(output()))

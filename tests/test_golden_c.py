"""Golden set C is found, its inputs are what its README says, and its comparison can fail."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.golden_c import COVERED, Case, cases, directory, networks, tensor, weights

FILES = ("reference_c.json", "reference_c.npz", "networks_c.json")

pytestmark = pytest.mark.golden_c


def test_covered_cases_are_in_the_set() -> None:
    """Each once, whatever function computes it."""
    listed = [case for group in COVERED.values() for case in group]
    assert len(set(listed)) == len(listed) > 0
    assert set(listed) - set(cases()) == set()


def test_files_of_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three are taken from where TFFD_GOLDEN says."""
    for file in FILES:
        shutil.copy(directory() / file, tmp_path / file)
    figures = json.loads((tmp_path / "reference_c.json").read_text(encoding="utf-8"))
    figures["modes"] = {"another": figures["modes"]["rep.hint.none"]}
    (tmp_path / "reference_c.json").write_text(json.dumps(figures), encoding="utf-8")
    (tmp_path / "networks_c.json").write_text('{"networks": {}}', encoding="utf-8")
    assert "rep.hint.none" in cases() and networks()["networks"] and torch.equal(tensor("s/p1"), tensor("s/p1"))
    monkeypatch.setenv("TFFD_GOLDEN", str(tmp_path))
    assert list(cases()) == ["another"]
    assert networks() == {"networks": {}}
    (tmp_path / "reference_c.npz").unlink()
    with pytest.raises(FileNotFoundError):
        tensor("s/p1")


def test_inputs_by_name() -> None:
    """A map before and after its ReLU, labels, a connector's weights; nothing is shared between two calls."""
    before, after = tensor("t_df/p2"), tensor("t_df/f2", torch.float32)
    assert before.dtype == torch.float64 and before.min() < 0
    assert after.dtype == torch.float32 and torch.equal(after, before.clamp_min(0).float())
    assert tensor("labels10").dtype == torch.int64
    names = {"conv.weight", "conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"}
    assert set(weights("w/rep.hint.t_df2")) == names
    before.zero_()
    assert tensor("t_df/p2").abs().sum() > 0


def test_leaves_are_the_inputs_with_a_gradient() -> None:
    """The student's here; a map after its ReLU is a leaf itself."""
    case = Case("rep.hint.none")
    assert case["s/f3"].is_leaf and case["s/f3"].requires_grad and case["s/f3"] is case["s/f3"]
    assert not case["t_eq/f3"].requires_grad


@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize(
    "wrong",
    [
        lambda student, teacher: (1 + 1e-4) * (student - teacher).square().mean(),  # another value
        lambda student, teacher: (student - teacher.roll(1, 0)).square().mean(),  # other pictures
        # The value is right, the gradient is not.
        lambda student, teacher: (1 + 1e-4) * (student - teacher).square().mean() - 1e-4 * value(student, teacher),
        lambda student, teacher: value(student, teacher).clone().requires_grad_(),
    ],
    ids=["value", "pictures", "gradient", "no-gradient"],
)
def test_comparison_can_fail(wrong: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> None:
    """At 1e-4, in both precisions."""
    case = Case("rep.hint.none", dtype)
    with pytest.raises(AssertionError):
        case.compare(wrong(case["s/f3"], case["t_eq/f3"]))


def value(student: Tensor, teacher: Tensor) -> Tensor:
    """The hint as a constant."""
    return (student - teacher).detach().square().mean()

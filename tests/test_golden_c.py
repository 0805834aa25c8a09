"""Golden set C is found, its inputs are what its README says, and its comparison can fail."""

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.golden_c import Case, cases, directory, mode_of, networks, tensor, weights
from tests.support import CONF

FILES = ("reference_c.json", "reference_c.npz", "networks_c.json")

WITHOUT_COUNTERPART = {"lskd.mlkd": "Multi-level logit distillation is none of the modes."}

pytestmark = pytest.mark.golden_c


def covered() -> list[str]:
    """Return the cases that the modes' tests list in GOLDEN_C."""
    files = sorted((Path(__file__).parent / "distill").glob("test_*.py"))
    modules = [importlib.import_module(f"tests.distill.{path.stem}") for path in files]
    return [case for module in modules for case in getattr(module, "GOLDEN_C", {})]


def test_every_case_of_a_mode_is_covered() -> None:
    """Each in one test file; the modes are those of conf/kd_mode."""
    listed, modes = covered(), {path.stem for path in (CONF / "kd_mode").glob("*.yaml")}
    assert len(set(listed)) == len(listed) > 0
    assert set(listed) - set(cases()) == set()
    assert {case for case in cases() if mode_of(case) in modes} - set(listed) - set(WITHOUT_COUNTERPART) == set()
    assert set(WITHOUT_COUNTERPART) & set(listed) == set()
    waiting = {mode_of(case) for case in set(cases()) - set(WITHOUT_COUNTERPART)} - modes
    if waiting:
        pytest.skip(f"no counterpart yet to cases of {', '.join(sorted(waiting))}")


@pytest.mark.parametrize(
    ("case", "mode"),
    [
        ("rep.kd.k10", "st"),
        ("tfkd.kd.k10", "tf_kd"),
        ("tfkd.ls.k10", "label_smoothing"),
        ("lskd.dkd.k10.t2", "dkd"),
        ("dist.tau4", "dist"),
        ("dlb", "dlb"),
    ],
)
def test_modes_of_cases(case: str, mode: str) -> None:
    assert mode_of(case) == mode


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

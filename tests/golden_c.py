"""Golden set C: what ten public repositories compute on free-standing tensors; golden/README.md describes the files.

The environment variable TFFD_GOLDEN names another directory with files of the same names and keys, on which the tests
marked `golden_c` run as well. So they take hyper-parameters and sizes from the files.

A test file lists the cases that it compares with, each with its inputs, in a constant GOLDEN_C, and test_golden_c.py
collects them: a case of a mode that is here must be in one of them.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

# The kd_mode that a case belongs to, where its name says it otherwise. Some repositories hold one mode, and the second
# part of their cases' names is a variant.
_MODES = {
    "kd": "st",
    "hint": "fitnet",
    "hcl": "reviewkd",
    "ls": "label_smoothing",
    "reg": "tf_kd",
    "self": "tf_kd",
    "tfkd.kd": "tf_kd",
    "cskd": "cs_kd",
    "pskd": "ps_kd",
}
_OF_ONE_MODE = ("dist", "ickd", "cskd", "pskd", "dlb", "byot", "frskd")

DTYPES = (torch.float64, torch.float32)


@dataclass(frozen=True)
class Tolerance:
    """How far from the float64 figures a result may be.

    Attributes:
        forward: Of losses and terms, relative.
        gradient: Of the sum of absolute values and the L2 norm of a gradient, relative.
        zero: Of a gradient that is 0 but for rounding, absolute.
    """

    forward: float
    gradient: float
    zero: float


# In float32 the references themselves are off by up to 7e-6 and 5e-7, and leave 6e-8 where exact arithmetic gives 0.
TOLERANCES = {torch.float64: Tolerance(1e-9, 1e-9, 1e-10), torch.float32: Tolerance(2e-5, 1e-5, 1e-6)}


def mode_of(case: str) -> str:
    """Return the kd_mode whose figures a case has, whether there is such a mode here yet or not."""
    repository, *rest = case.split(".")
    name = repository if repository in _OF_ONE_MODE or not rest else rest[0]
    return _MODES.get(f"{repository}.{name}") or _MODES.get(name, name)


def directory() -> Path:
    """Return where the files of the set are."""
    return Path(os.environ.get("TFFD_GOLDEN") or Path(__file__).parent / "golden")


def cases() -> dict[str, Any]:
    """Return what reference_c.json says of each case, by name."""
    modes: dict[str, Any] = _read_json(directory() / "reference_c.json")["modes"]
    return modes


def networks() -> dict[str, Any]:
    """Return the content of networks_c.json."""
    return _read_json(directory() / "networks_c.json")


def tensor(name: str, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return an input by its name in the set; `s/f2` is the map `s/p2` after its ReLU. Whole numbers stay whole."""
    arrays = _read_arrays(directory() / "reference_c.npz")
    group, _, last = name.rpartition("/")
    after_relu = name not in arrays and last.startswith("f")
    values = torch.from_numpy(arrays[f"{group}/p{last[1:]}" if after_relu else name])
    values = values.relu() if after_relu else values
    return values.to(dtype, copy=True) if values.is_floating_point() else values.clone()


def weights(prefix: str, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Return the weights of a connector, such as `w/rep.hint.t_df2`, by their names in it."""
    names = [name for name in _read_arrays(directory() / "reference_c.npz") if name.startswith(f"{prefix}/")]
    return {name.removeprefix(f"{prefix}/"): tensor(name, dtype) for name in names}


class Case:
    """One case of the set: its inputs, its connectors' weights, and the comparison with its figures.

    Inputs for which the set has a gradient are leaves that require one, and the same tensor each time they are asked
    for.
    """

    def __init__(self, name: str, dtype: torch.dtype = torch.float64) -> None:
        figures = cases()[name]
        self.name, self.dtype = name, dtype
        self.hyper: dict[str, Any] = figures["hyper"]
        self.expected: dict[str, Any] = figures["f64"]
        steps = self.expected.get("steps", {})
        self._leaves = {leaf for part in (self.expected, *steps.values()) for leaf in part.get("grad", {})}
        self._given: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._given:
            self._given[name] = tensor(name, self.dtype).requires_grad_(name in self._leaves)
        return self._given[name]

    def stages(self, group: str) -> list[Tensor]:
        """Return the three stage outputs of a pyramid, such as `t_df`, after their ReLU."""
        return [self[f"{group}/f{stage}"] for stage in (1, 2, 3)]

    def load(self, module: nn.Module, prefix: str) -> nn.Module:
        """Give a connector the weights of the set, and remember it for the comparison of its gradients."""
        module.to(self.dtype)
        missing, unexpected = module.load_state_dict(weights(prefix, self.dtype), strict=False)
        assert unexpected == [] and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
        self._weights |= {f"{prefix}/{name}": weight for name, weight in module.named_parameters()}
        return module

    def compare(self, loss: Tensor, **terms: Tensor) -> None:
        """Compare a loss, parts of it, and the gradients of all leaves and connector weights with the figures."""
        tolerance = TOLERANCES[self.dtype]
        assert loss.dtype == self.dtype
        values = {"loss": loss} | terms
        expected = {"loss": self.expected["loss"]} | {name: self.expected["terms"][name] for name in terms}
        actual = {name: value.item() for name, value in values.items()}
        assert actual == pytest.approx(expected, rel=tolerance.forward, abs=0), self.name
        loss.backward()
        self._compare_gradients(self.expected["grad"], self._given, tolerance)
        self._compare_gradients(self.expected.get("connector_grad", {}), self._weights, tolerance)

    def compare_step(self, tag: str, total: Tensor, **terms: Tensor) -> None:
        """Compare what one of several updates gives: values by the names of their figures, and all gradients.

        Args:
            total: What the gradients are of.
            terms: `loss` for the case's loss, others for its terms.
        """
        tolerance = TOLERANCES[self.dtype]
        figures = self.expected["terms"] | {"loss": self.expected["loss"]}
        actual = {name: value.item() for name, value in terms.items()}
        assert actual == pytest.approx({name: figures[name] for name in terms}, rel=tolerance.forward, abs=0), self.name
        for tensor in (*self._given.values(), *self._weights.values()):
            tensor.grad = None
        total.backward()
        figures = self.expected["steps"][tag]
        self._compare_gradients(figures["grad"], self._given, tolerance)
        self._compare_gradients(figures.get("connector_grad", {}), self._weights, tolerance)

    def _compare_gradients(
        self, figures: Mapping[str, list[float]], leaves: Mapping[str, Tensor], tolerance: Tolerance
    ) -> None:
        for name, expected in figures.items():
            gradient = leaves[name].grad
            assert gradient is not None, f"{self.name}: {name} has no gradient"
            actual = [gradient.abs().sum().item(), gradient.norm().item()]
            zero = tolerance.zero if max(expected) < TOLERANCES[torch.float64].zero else 0
            assert actual == pytest.approx(expected, rel=tolerance.gradient, abs=zero), f"{self.name}: {name}"


@cache
def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@cache
def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)

"""The networks of golden set C: weights by the rule of networks_c.json, and the comparison with its figures."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import golden_c

# Of the largest class score, or of the mean size of a map's values: 1e-5 in float32, where the references themselves
# are off by up to 4e-6; two implementations of one formula in float64 differ in the order of sums.
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-5}


class Network:
    """One network of the set, such as `MobileNetV2`."""

    def __init__(self, name: str) -> None:
        content = golden_c.networks()
        self.figures: dict[str, Any] = content["networks"][name]
        self.classes: int = self.figures["num_classes"]
        self.weights = _filled(content["rule"], self.figures)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the weights of a part, by their names in it."""
        return {name.removeprefix(prefix): each for name, each in self.weights.items() if name.startswith(prefix)}

    def counts(self, model: nn.Module) -> bool:
        """Say whether a model has as many parameters as the network."""
        return sum(each.numel() for each in model.parameters()) == self.figures["parameters"]  # type: ignore[no-any-return]

    def compare_logits(self, logits: Tensor) -> None:
        """Compare class scores with those of the network in float64."""
        expected = torch.tensor(self.figures["logits_f64"], dtype=torch.float64)
        close = TOLERANCES[logits.dtype] * expected.abs().max().item()
        torch.testing.assert_close(logits.double(), expected, rtol=0, atol=close)

    def compare_maps(self, kind: str, maps: Sequence[Tensor]) -> None:
        """Compare maps with all their figures; the weighted sum tells the order of the numbers, so of channels."""
        for each, figures in zip(maps, self.figures["features"][kind], strict=True):
            assert list(each.shape) == figures["shape"]
            flat, count = each.double().flatten(), each.numel()
            found = {
                "mean": flat.mean(),
                "std": flat.std(correction=0),
                "sum": flat.sum() / count,
                "abs_sum": flat.abs().sum() / count,
                "min": flat.min(),
                "weighted": (torch.arange(1, count + 1) * flat).sum() / count**2,
            }
            scale = {"sum": count, "abs_sum": count, "weighted": count}
            expected = {name: figures[name] / scale.get(name, 1) for name in found}
            close = TOLERANCES[each.dtype] * figures["abs_sum"] / count
            # The least value is a single one, as the largest is.
            close_min = TOLERANCES[each.dtype] * flat.abs().max().item()
            assert found.pop("min").item() == pytest.approx(expected.pop("min"), rel=0, abs=close_min)
            actual = {name: value.item() for name, value in found.items()}
            assert actual == pytest.approx(expected, rel=TOLERANCES[each.dtype], abs=close)


def _filled(rule: dict[str, Any], figures: dict[str, Any]) -> dict[str, Tensor]:
    weights = {}
    for i, (name, shape) in enumerate(figures["state_dict"]):
        k = torch.arange(math.prod(shape))
        h = (rule["A"] * k * k + (rule["B"] * (i + 1) + 17) * k + rule["C"] * (i + 1)) % rule["M"]
        u = (2 * h.double() / rule["M"] - 1).reshape(shape)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.zeros((), dtype=torch.int64)
        elif len(shape) > 1:
            weights[name] = figures["gain"] * math.sqrt(3 / math.prod(shape[1:])) * u
        elif name.endswith(("bias", "running_mean")):
            weights[name] = 0.1 * u
        else:
            weights[name] = 1 + (0.3 if name.endswith("running_var") else 0.2) * u
    for name, expected in figures["state_checks"].items():
        sums = [weights[name].sum().item(), weights[name].abs().sum().item()]
        assert sums == pytest.approx(expected, rel=1e-9, abs=1e-9), f"{name} is filled by another rule"
    return weights

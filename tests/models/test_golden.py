"""Forward passes against figures from the reference implementations (tests/golden)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.golden_networks import Network
from tffd.checkpoints import load_weights
from tffd.distill.ofd import norms_before_relu
from tffd.models import create_model

GOLDEN = Path(__file__).parents[1] / "golden"
# RepDistiller's networks of golden set C, by their names there; the others are parts of modes, compared in their tests.
NETWORKS = {
    "MobileNetV2": "mobilenet_v2",
    "ShuffleV1": "shuffle_v1",
    "ShuffleV2": "shuffle_v2",
    "ResNet50": "resnet50",
}
OF_MODES = {"BYOT_multi_resnet18", "FRSKD_BiFPNc"}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def assert_close(actual: Tensor, expected: Tensor) -> None:
    """Compare at 1e-5 relative, float32's accuracy over some twenty layers.

    A logit near zero is the difference of large terms and carries their rounding error, so the absolute
    tolerance is 1e-5 of the largest value.
    """
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("kdzoo_resnet20.pth.tar", "resnet20"),
        ("repdistiller_resnet8.pth", "resnet8"),
        ("repdistiller_wrn_16_1.pth", "wrn_16_1"),
    ],
)
def test_public_checkpoints_give_their_logits(file: str, name: str) -> None:
    """Both public formats load, and their networks compute what the references' do."""
    model = create_model(name, 100, weights=GOLDEN / file).eval()
    figures = np.load(GOLDEN / f"{file.split('.')[0]}_io.npz")
    with torch.no_grad():
        output = model(torch.from_numpy(figures["x"]))
    assert_close(output.logits, torch.from_numpy(figures["logits"]))
    maps = (output.stem, *output.stages, output.pooled)
    for index, tensor in enumerate(maps):
        if f"stage{index}_mean" in figures:  # RepDistiller's files alone have them
            # The mean of a map with both signs cancels: its error is measured against the mean magnitude.
            expected = figures[f"stage{index}_mean"].item()
            assert tensor.mean().item() == pytest.approx(expected, abs=1e-5 * tensor.abs().mean().item())


def test_student_of_the_tf_fd_script(tmp_path: Path) -> None:
    """The golden student, in Tf-FD's tensor names, gives the script's logits and stage means."""
    arrays = np.load(GOLDEN / "student_resnet20.npz")
    figures = json.loads((GOLDEN / "reference_a.json").read_text(encoding="utf-8"))
    names = [key for key in arrays if key.startswith("student/")]
    torch.save({n.removeprefix("student/"): torch.from_numpy(arrays[n]) for n in names}, tmp_path / "s.pth")
    model = create_model("resnet20", 10).eval()
    load_weights(model, tmp_path / "s.pth")
    pictures = torch.from_numpy(arrays["images"][:16]).float() / 255
    pictures = ((pictures - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)
    with torch.no_grad():
        output = model(pictures)
    assert_close(output.logits, torch.tensor(figures["eval_logits"]).reshape(16, 10))
    means = [stage.mean().item() for stage in output.stages]
    assert means == pytest.approx(figures["eval_stage_means"], rel=1e-5)


@pytest.mark.golden_c
def test_every_network_of_the_set_is_compared() -> None:
    assert set(golden_c.networks()["networks"]) == set(NETWORKS) | OF_MODES


@pytest.mark.golden_c
@pytest.mark.parametrize("name", NETWORKS)
def test_repdistillers_networks(name: str, tmp_path: Path) -> None:
    """A file with RepDistiller's names loads strictly; class scores and all maps are its own, in both precisions."""
    network = Network(name)
    torch.save({"epoch": 240, "model": network.weights}, tmp_path / "ckpt_epoch_240.pth")
    with torch.device("meta"):
        model = create_model(NETWORKS[name], network.classes).double().eval()
    model = model.to_empty(device="cpu")
    load_weights(model, tmp_path / "ckpt_epoch_240.pth")
    assert network.counts(model) and len(model.state_dict()) == len(network.weights)
    for dtype in golden_c.DTYPES:
        with torch.no_grad():
            output = model.to(dtype)(golden_c.tensor("net/images", dtype))
        network.compare_logits(output.logits)
        network.compare_maps("post", [output.stem, *output.stages, output.pooled])
        network.compare_maps("pre", [output.stem, *output.preacts, output.pooled])


@pytest.mark.golden_c
@pytest.mark.parametrize("name", NETWORKS)
def test_norms_before_relu_are_repdistillers(name: str) -> None:
    """Or there are none, in both."""
    expected = golden_c.networks()["networks"][name]["bn_before_relu"]
    with torch.device("meta"):
        model = create_model(NETWORKS[name], 10)
    if isinstance(expected, str):
        with pytest.raises(ValueError, match="are not known, so it has no margins"):
            norms_before_relu(model)
    else:
        names = {module: path for path, module in model.named_modules()}
        assert [names[norm] for norm in norms_before_relu(model)] == expected

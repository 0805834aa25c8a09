"""FRSKD against hand numbers and figures of the public code, its pyramid against the public network."""

import re
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_finite, check_loss, normal, output
from tests.golden_networks import Network
from tffd.distill.at import attention_transfer
from tffd.distill.fitnet import hint
from tffd.distill.frskd import Feature, FeaturePyramid, FeatureRefinement, refinement_loss
from tffd.distill.ofd import batch_norm_margin, connector, partial_loss
from tffd.distill.st import soft_targets

GOLDEN_C: dict[str, Feature] = {"frskd.att": "att", "frskd.fit": "fit", "frskd.od": "od"}
COUNT = 8  # of the set's 16 rows of class scores, those that its maps are of


def test_stages_add_up() -> None:
    """The overhaul's deepest stage counts twice, each the sum over a picture; margins are those of fresh norms."""
    ours = [normal(2, 3, 4, 4), normal(2, 5, 2, 2, seed=1)]
    refined = [normal(2, 3, 4, 4, seed=2), normal(2, 5, 2, 2, seed=3)]
    pairs = list(zip(ours, refined, strict=True))
    margins = [batch_norm_margin(torch.ones(count), torch.zeros(count)) for count in (3, 5)]
    first, second = (partial_loss(*pair, margin).item() for pair, margin in zip(pairs, margins, strict=True))
    expected = {
        "att": sum(attention_transfer(*pair).item() for pair in pairs),
        "fit": sum(hint(*pair).item() for pair in pairs),
        "od": 0.5 * 48 * first + 20 * second,
    }
    found = {feature: refinement_loss(ours, refined, feature).item() for feature in get_args(Feature)}
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("feature", get_args(Feature))
def test_what_every_loss_must_do(feature: Feature) -> None:
    def loss(student: Tensor, refined: Tensor) -> Tensor:
        return refinement_loss([student], [refined], feature)

    check_loss(loss, normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), scale=50)
    check_finite(loss, normal(1, 3, 4, 4), normal(1, 3, 4, 4))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """Every part, the whole with the file's weights, and the gradients, those of connectors included."""
    case, feature = golden_c.Case(name, dtype), GOLDEN_C[name]
    kind, labels = "p" if feature == "od" else "f", golden_c.tensor("labels10")[:COUNT]
    ours, refined = ([case[f"{group}/{kind}{stage}"] for stage in (1, 2, 3)] for group in ("s", "t_df"))
    logits, taught = case["s/logits10"][:COUNT], case["s/mid1"][:COUNT]
    if feature != "att":
        last = [nn.ReLU()] if feature == "fit" else []
        pairs = [(a.shape[1], b.shape[1]) for a, b in zip(ours, refined, strict=True)]
        connectors = nn.ModuleList(nn.Sequential(*connector(*pair), *last) for pair in pairs)
        case.load(nn.ModuleDict({"linear": connectors}), f"w/{name}")
        ours = [made(maps) for made, maps in zip(connectors, ours, strict=True)]
    margins = [golden_c.tensor(f"out/ofd_margin{stage}", dtype) for stage in (1, 2, 3)] if feature == "od" else None
    kl = soft_targets(logits, taught, case.hyper["T"])
    parts = {"kl": kl, "ce": F.cross_entropy(logits, labels), "ce_bifpn": F.cross_entropy(taught, labels)}
    weighted = case.hyper["beta"] * refinement_loss(ours, refined, feature, margins)
    parts["kd_total"] = case.hyper["alpha"] * kl + weighted
    loss = parts["ce"] + parts["ce_bifpn"] + parts["kd_total"]
    case.compare_step("step1", loss, loss=loss, **parts)


def renamed(name: str) -> str:
    """Return our name of a weight of the public network."""
    name = name.removeprefix("layers.0.")
    for theirs, ours in (
        (r"lat_conv\.(\d)\.conv\.0", r"enter_up.\1"),
        (r"lat_conv2\.(\d)\.conv\.0", r"enter_down.\1"),
        (r"up_sample\.(\d)\.1\.conv\.0", r"from_below.\1"),
        (r"down_sample\.(\d)\.1\.conv\.0", r"from_above.\1"),
        (r"(up|down)_weight\.", r"\1_weights."),
        (r"(up|down)_conv\.(\d)\.conv\.0", r"\1.\2"),
    ):
        name = re.sub(f"^{theirs}", ours, name)
    # The second convolution of a block begins after the three layers of the first, with its ReLU.
    return re.sub(
        r"^(up|down)_conv\.(\d)\.conv\.1\.(\d)", lambda found: f"{found[1]}.{found[2]}.{3 + int(found[3])}", name
    )


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
def test_pyramid_equals_the_public_network(dtype: torch.dtype) -> None:
    """Class scores, and all maps before and after the ReLU; their weighted sum tells the order of numbers."""
    network = Network("FRSKD_BiFPNc")
    images = golden_c.tensor("net/images")
    tiled = images.repeat(1, 11, 1, 1)
    maps = [F.avg_pool2d(tiled[:, :count], 32 // size).to(dtype) for count, size in ((8, 16), (16, 8), (32, 4))]
    pyramid = FeaturePyramid([8, 16, 32], network.classes).to(dtype).eval()
    pyramid.load_state_dict({renamed(name): weight for name, weight in network.weights.items()})
    assert network.counts(pyramid)
    with torch.no_grad():
        refined, logits = pyramid(maps)
    network.compare_logits(logits)
    network.compare_maps("pre", refined)
    network.compare_maps("post", [F.relu(each) for each in refined])


@pytest.mark.parametrize("sizes", [(8, 4, 2), (7, 4, 2), (8, 4, 4), (5, 3)])
def test_pyramid_keeps_sizes(sizes: tuple[int, ...]) -> None:
    """Odd ones, and stages of one size, as a VGG has."""
    maps = [normal(2, 3 + i, size, size) for i, size in enumerate(sizes)]
    refined, logits = FeaturePyramid([each.shape[1] for each in maps], 5, width=3, depth=1)(maps)
    assert [each.shape for each in refined] == [(2, 3 * each.shape[1], *each.shape[2:]) for each in maps]
    assert logits.shape == (2, 5)


@pytest.mark.parametrize("feature", get_args(Feature))
def test_pyramid_learns_the_labels_alone(feature: Feature) -> None:
    """The student learns from all terms, from the labels through the pyramid too; connectors from the features."""
    student = output((3, 8, 8), (4, 4, 4), (6, 2, 2), classes=5, count=4)
    mode = FeatureRefinement(feature)
    mode.check(setting(student))
    mode.build(setting(student))
    maps = student.preacts if feature == "od" else student.stages
    student.logits.requires_grad_()
    for each in maps:
        each.requires_grad_()
    step = step_of(student)
    terms = mode(step)
    refined, logits = mode.pyramid(maps)
    shown = refined if feature == "od" else [F.relu(each) for each in refined]
    made = list(maps) if feature == "att" else [c(each) for c, each in zip(mode.connectors, maps, strict=True)]
    expected = {
        "frskd_bifpn": F.cross_entropy(logits, step.labels).item(),
        "frskd_soft": soft_targets(student.logits, logits, 4.0).item(),
        "frskd_feature": refinement_loss(made, shown, feature).item(),
    }
    assert {term: value.item() for term, value in terms.items()} == pytest.approx(expected, rel=1e-5)
    (terms["frskd_soft"] + terms["frskd_feature"]).backward()
    assert all(weight.grad is None for weight in mode.pyramid.parameters())
    assert all(weight.grad is not None for weight in mode.connectors.parameters())
    assert student.logits.grad is not None and all(each.grad is not None for each in maps)
    before = [each.grad.clone() for each in maps if each.grad is not None]
    terms["frskd_bifpn"].backward()
    assert all(weight.grad is not None for weight in mode.pyramid.parameters())
    assert not any(torch.equal(each.grad, grad) for each, grad in zip(maps, before, strict=True))  # type: ignore[arg-type]


def test_the_control_has_a_pyramid_and_no_distillation() -> None:
    student = output((3, 4, 4), (4, 2, 2))
    mode = FeatureRefinement("fit")
    mode.active = ("frskd_bifpn",)
    mode.check(setting(student))
    mode.build(setting(student))
    assert list(mode(step_of(student))) == ["frskd_bifpn"] and not mode.connectors


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 stages; the student has 1"):
        FeatureRefinement().check(setting(output((3, 4, 4))))
    with pytest.raises(ValueError, match=r"the student has \(8, 8\) and then \(2, 2\)"):
        FeatureRefinement().check(setting(output((3, 8, 8), (4, 2, 2))))
    mode = FeatureRefinement()
    mode.active = ("frskd_soft",)
    with pytest.raises(ValueError, match="give frskd_bifpn a weight"):
        mode.check(setting(output((3, 4, 4), (4, 2, 2))))
    with pytest.raises(ValueError, match="feature must be one of att, fit, od; got 'at'"):
        FeatureRefinement("at")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite and above 0; got 0."):
        FeatureRefinement(temperature=0.0)
    with pytest.raises(ValueError, match="at least 1; got 0 and 2"):
        FeatureRefinement(width=0)
    with pytest.raises(ValueError, match="the student has 1 and the other 0"):
        refinement_loss([normal(2, 3, 4, 4)], [])

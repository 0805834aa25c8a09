"""Knowledge review against hand numbers, a naive loop and figures of the public code."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import check_at_rest, check_finite, check_layout, check_loss, normal, output
from tffd.distill.reviewkd import Fusion, KnowledgeReview, hierarchical_context, review

# The student's and the teacher's maps, shallow to deep; pooled vectors become maps of size 1x1.
GOLDEN_C = {
    "mdist.hcl": (["s/f1", "s/f2", "s/f3"], ["t_eq/f1", "t_eq/f2", "t_eq/f3"]),
    "mdist.reviewkd": (["s/f1", "s/f2", "s/f3", "s/pool8x32"], ["t_df/p1", "t_df/p2", "t_df/p3", "t/pool8x64"]),
}


def naive(student: Tensor, teacher: Tensor, levels: Sequence[int] = (4, 2, 1)) -> float:
    height, width = student.shape[2:]
    differences = (student.double() - teacher.double()).flatten(0, 1).tolist()

    def mean_square(rows: int, columns: int) -> float:
        total = 0.0
        for picture in differences:
            for i in range(rows):
                for j in range(columns):
                    window = [
                        picture[y][x]
                        for y in range(i * height // rows, math.ceil((i + 1) * height / rows))
                        for x in range(j * width // columns, math.ceil((j + 1) * width / columns))
                    ]
                    total += (sum(window) / len(window)) ** 2
        return total / (len(differences) * rows * columns)

    loss, weight, weights = mean_square(height, width), 1.0, 1.0
    for level in levels:
        if level < height and level < width:
            weight /= 2
            weights += weight
            loss += weight * mean_square(level, level)
    return loss / weights


# --- the loss


def test_by_hand() -> None:
    """A map of 2x2 has one level, its mean, which weighs 1/2."""
    student, teacher = torch.tensor([[[[2.0, 2.0], [4.0, 4.0]]]]), torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    student.requires_grad_()
    loss = hierarchical_context(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(((1 + 4 + 9 + 16) / 4 + 2.5**2 / 2) / 1.5)
    expected = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]) / 3 + 2.5 / 6
    torch.testing.assert_close(student.grad, expected)


@pytest.mark.parametrize("levels", [(4, 2, 1), (1, 3), ()])
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 2, 7, 5), (2, 2, 4, 4), (2, 2, 6, 2), (4, 5, 1, 1)])
def test_equals_a_naive_loop(shape: tuple[int, ...], levels: tuple[int, ...]) -> None:
    """Maps that no level divides, that are not square, and that are no larger than some level or than all."""
    student, teacher = normal(*shape), normal(*shape, seed=1)
    expected = naive(student, teacher, levels)
    assert hierarchical_context(student, teacher, levels).item() == pytest.approx(expected, rel=1e-5)
    check_layout(hierarchical_context, student, teacher)


def test_what_every_loss_must_do() -> None:
    check_loss(hierarchical_context, normal(2, 3, 5, 6), normal(2, 3, 5, 6, seed=1))
    check_at_rest(hierarchical_context, normal(2, 3, 8, 8))
    check_finite(hierarchical_context, normal(1, 3, 1, 1), normal(1, 3, 1, 1, seed=1))


def test_what_cannot_be_compared_is_refused() -> None:
    for ours, theirs in (((2, 3, 4, 4), (2, 3, 2, 2)), ((2, 3), (2, 3)), ((0, 3, 4, 4), (0, 3, 4, 4))):
        with pytest.raises(ValueError, match="^hierarchical_context needs non-empty maps") as caught:
            hierarchical_context(normal(*ours), normal(*theirs))
        assert f"the student's is {ours} and the teacher's {theirs}." in str(caught.value)
    with pytest.raises(ValueError, match=r"each at least 1; got \[2, 0\]"):
        hierarchical_context(normal(2, 3, 4, 4), normal(2, 3, 4, 4), (2, 0))
    with pytest.raises(ValueError, match=r"each at least 1; got \[-1\]"):
        KnowledgeReview(levels=[-1])
    with pytest.raises(ValueError, match="max_width is a number of channels, at least 1; got 0"):
        KnowledgeReview(max_width=0)


# --- the fusion


def normed(maps: Tensor) -> Tensor:
    centred = maps - maps.mean(dim=(0, 2, 3), keepdim=True)
    return centred / (centred.square().mean(dim=(0, 2, 3), keepdim=True) + 1e-5).sqrt()


def test_fusion_equals_products_by_hand() -> None:
    """A student's 4x4 with 2x2 handed on, for a teacher's 8x8; every position takes the nearest one."""
    fusion, features, handed_on = Fusion(3, 5, 2, fuses=True), normal(2, 3, 4, 4), normal(2, 5, 2, 2, seed=1)
    own = normed(torch.einsum("oc,bchw->bohw", fusion.conv1[0].weight[:, :, 0, 0], features))
    deeper = handed_on.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    weight, bias = fusion.att_conv[0].weight[:, :, 0, 0], fusion.att_conv[0].bias
    scores = torch.einsum("oc,bchw->bohw", weight, torch.cat([own, deeper], dim=1)) + bias[:, None, None]
    gates = 1 / (1 + (-scores).exp())
    expected = (own * gates[:, :1] + deeper * gates[:, 1:]).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    prediction, fused = fusion(features, (8, 8), handed_on)
    torch.testing.assert_close(fused, expected)
    windows = nn.functional.unfold(expected, 3, padding=1)  # [B, 5 * 9, 64]
    mixed = torch.einsum("ok,bkp->bop", fusion.conv2[0].weight.flatten(1), windows).unflatten(2, (8, 8))
    torch.testing.assert_close(prediction, normed(mixed), rtol=1e-4, atol=1e-5)


def test_fusion_begins_with_variance_of_one_over_fan_in() -> None:
    """Uniform numbers up to sqrt(3 / fan-in)."""
    fusion = Fusion(100, 60, 80, fuses=False)
    for weight, fan_in in ((fusion.conv1[0].weight, 100), (fusion.conv2[0].weight, 60 * 9)):
        limit = math.sqrt(3 / fan_in)
        assert 0.95 * limit < weight.abs().max().item() <= limit
        assert weight.var().item() == pytest.approx(1 / fan_in, rel=0.05)
    assert [name for name, _ in fusion.named_parameters() if name.endswith("0.bias")] == []


def test_fusion_of_one_number_a_channel() -> None:
    """It takes the running statistics, which are 0 and 1 at first, and leaves them; two pictures move them."""
    fusion = Fusion(3, 4, 5, fuses=False)
    prediction, fused = fusion(normal(1, 3, 1, 1), (1, 1))
    expected = fusion.conv1[0](normal(1, 3, 1, 1)) / math.sqrt(1 + 1e-5)
    torch.testing.assert_close(fused, expected)
    torch.testing.assert_close(prediction, fusion.conv2[0](expected) / math.sqrt(1 + 1e-5))
    assert fusion.conv1[1].running_mean.abs().sum() == 0
    fusion(normal(2, 3, 1, 1), (1, 1))
    assert fusion.conv1[1].running_mean.abs().sum() > 0


@pytest.mark.parametrize("fuses", [False, True])
def test_fusion_refuses_the_wrong_neighbour(fuses: bool) -> None:
    with pytest.raises(ValueError, match="exactly if it was built with fuses=True"):
        Fusion(3, 4, 5, fuses)(normal(2, 3, 4, 4), (4, 4), None if fuses else normal(2, 4, 2, 2))


def test_review_refuses_other_numbers_of_maps() -> None:
    with pytest.raises(ValueError, match="got 1 modules, 2 maps and 1 sizes"):
        review(nn.ModuleList([Fusion(3, 4, 5, fuses=False)]), [normal(2, 3, 4, 4)] * 2, [(4, 4)])


# --- figures of the public code


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
def test_golden_c_loss(dtype: torch.dtype) -> None:
    case, names = golden_c.Case("mdist.hcl", dtype), GOLDEN_C["mdist.hcl"]
    pairs = [(case[ours], case[theirs]) for ours, theirs in zip(*names, strict=True)]
    each = [hierarchical_context(ours, theirs, case.hyper["levels"]) for ours, theirs in pairs]
    case.compare(torch.stack(each).sum())


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
def test_golden_c_with_fusions(dtype: torch.dtype) -> None:
    """The loss of each level, what each fusion returns, and the gradients of the maps and of all weights."""
    case = golden_c.Case("mdist.reviewkd", dtype)
    ours, theirs = ([as_map(case[name]) for name in names] for names in GOLDEN_C["mdist.reviewkd"])
    channels = zip(reversed(ours), reversed(theirs), strict=True)
    fusions = nn.ModuleList(
        Fusion(own.shape[1], case.hyper["mid"], target.shape[1], fuses=number > 0)
        for number, (own, target) in enumerate(channels)
    )
    case.load(fusions, "w/mdist.reviewkd.abfs")
    returned: list[tuple[Tensor, Tensor]] = []
    for fusion in fusions:
        fusion.register_forward_hook(lambda module, inputs, outputs: returned.append(outputs))
    predictions = review(fusions, ours, [tuple(maps.shape[2:]) for maps in theirs])
    each = [hierarchical_context(*pair) for pair in zip(predictions, theirs, strict=True)]
    terms = {f"hcl_level{number}": loss for number, loss in enumerate(each, start=1)}
    for number, (prediction, fused) in enumerate(returned):
        terms |= {f"abf{number}_out_sum": prediction.sum(), f"abf{number}_out_abs": prediction.abs().sum()}
        terms[f"abf{number}_residual_sum"] = fused.sum()
    case.compare(torch.stack(each).sum(), **terms)


def as_map(tensor: Tensor) -> Tensor:
    return tensor if tensor.ndim == 4 else tensor[:, :, None, None]


# --- the mode


@pytest.mark.parametrize("preact", [False, True])
def test_mode_reviews_from_the_pooled_vectors_up(preact: bool) -> None:
    """Networks of other numbers of stages, widths and sizes; all of the mode's weights learn."""
    student, teacher = output((3, 8, 8), (5, 4, 4), pooled=6), output((2, 8, 8), (4, 6, 6), (7, 4, 4), pooled=9, seed=1)
    mode = KnowledgeReview(student_preact=preact, stages=[[1, 2], [2, 3]])
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    pooled, deep, shallow = mode.fusions
    own = student.preacts if preact else student.stages
    first, handed_on = pooled(student.pooled[:, :, None, None], (1, 1))
    second, handed_on = deep(own[1], (4, 4), handed_on)
    third, handed_on = shallow(own[0], (6, 6), handed_on)
    assert handed_on.shape == (2, 6, 6, 6)
    predictions = (first, teacher.pooled[:, :, None, None]), (second, teacher.preacts[2]), (third, teacher.preacts[1])
    expected = sum(hierarchical_context(*pair).item() for pair in predictions)
    loss = mode(step_of(student, teacher))["reviewkd"]
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in mode.parameters())
    mode.reduction = "mean"
    assert mode(step_of(student, teacher))["reviewkd"].item() == pytest.approx(expected / 3, rel=1e-5)


def test_mode_hands_on_at_most_the_greatest_width() -> None:
    """And otherwise what the student's pooled vector has."""
    student, teacher = output((3, 4, 4), (4, 2, 2), pooled=6), output((3, 4, 4), (4, 2, 2), pooled=9, seed=1)
    for greatest, width in ((512, 6), (5, 5)):
        mode = KnowledgeReview(max_width=greatest)
        mode.build(setting(student, teacher))
        assert [fusion.conv1[0].out_channels for fusion in mode.fusions] == [width] * 3
        assert [fusion.conv2[0].out_channels for fusion in mode.fusions] == [9, 4, 3]


def test_mode_refuses_what_has_no_pairs() -> None:
    with pytest.raises(ValueError, match="the student has 1 stages and the teacher 2"):
        KnowledgeReview().check(setting(output((3, 4, 4)), output((3, 4, 4), (3, 4, 4))))

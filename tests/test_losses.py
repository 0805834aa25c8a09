"""The Tf-FD terms against hand numbers, a naive loop and figures of the released script."""

import math
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tffd.losses import TfFD, channel_saliency, inter_fd, intra_fd, tfd_terms

GOLDEN = Path(__file__).parent / "golden"

# float32 carries 7 digits and the maps here have up to a few thousand numbers: 1e-5 relative, as between any two
# orders of summation.
CLOSE = {"rel": 1e-5}

Student = tuple[nn.Module, Tensor, Tensor]


def maps(*shape: int, seed: int = 0, **kwargs: Any) -> Tensor:
    """Return what a ReLU leaves of random numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).relu().to(**kwargs)


def channels(*rows: tuple[float, ...]) -> Tensor:
    """Return one picture's map of height 1: a row of numbers for each channel."""
    return torch.tensor(rows, dtype=torch.float32)[None, :, None, :]


def naive_saliency(features: Tensor) -> list[float]:
    scores = []
    for channel in range(features.shape[1]):
        total, count = 0.0, 0
        for picture in features[:, channel].double().tolist():
            flat = [value for row in picture for value in row]
            norm = max(math.sqrt(sum(value**2 for value in flat)), 1e-12)
            total += sum(value / norm for value in flat)
            count += len(flat)
        scores.append(total / count)
    return scores


def naive_intra(features: Tensor) -> float:
    scores = naive_saliency(features)
    order = sorted(range(len(scores)), key=lambda channel: -scores[channel])
    values, half = features.double().tolist(), len(scores) // 2
    squares = [
        (a - b) ** 2
        for picture in values
        for salient, redundant in zip(order[:half], order[half : 2 * half], strict=True)
        for row, other in zip(picture[salient], picture[redundant], strict=True)
        for a, b in zip(row, other, strict=True)
    ]
    return sum(squares) / len(squares)


def naive_pool(image: list[list[float]], height: int, width: int) -> list[list[float]]:
    def windows(size: int, out: int) -> list[range]:
        return [range(math.floor(i * size / out), math.ceil((i + 1) * size / out)) for i in range(out)]

    return [
        [sum(image[y][x] for y in ys for x in xs) / (len(ys) * len(xs)) for xs in windows(len(image[0]), width)]
        for ys in windows(len(image), height)
    ]


def naive_inter(shallow: Tensor, deep: Tensor) -> float:
    height, width = min(shallow.shape[2], deep.shape[2]), min(shallow.shape[3], deep.shape[3])
    squares = [
        (a - b) ** 2
        for first, second in zip(shallow.double().tolist(), deep.double().tolist(), strict=True)
        for one, other in zip(first, second, strict=False)  # the surplus channels of either are left out
        for row, other_row in zip(naive_pool(one, height, width), naive_pool(other, height, width), strict=True)
        for a, b in zip(row, other_row, strict=True)
    ]
    return sum(squares) / len(squares)


# --- by hand


def test_saliency_by_hand() -> None:
    """(3, 4) has norm 5 and mean 3.5; a channel of zeros counts as 0; signs count; pictures are averaged."""
    features = torch.tensor([[[[3.0, 4.0]], [[0.0, 2.0]], [[-3.0, 4.0]]], [[[0.0, 0.0]], [[6.0, 8.0]], [[0.0, 0.0]]]])
    saliency = channel_saliency(features)
    assert saliency.dtype == torch.float32
    assert saliency.tolist() == pytest.approx([(0.7 + 0) / 2, (0.5 + 0.7) / 2, (0.1 + 0) / 2], rel=1e-6)


def test_saliency_does_not_see_magnitude() -> None:
    """Each map is divided by its own norm."""
    features = maps(2, 5, 4, 4)
    scale = torch.rand(2, 5, 1, 1, generator=torch.Generator().manual_seed(1)) + 0.5
    torch.testing.assert_close(channel_saliency(features * scale), channel_saliency(features))


def test_intra_by_hand() -> None:
    """Saliencies 0.5, 0.7, 0.7071, 0 order the channels 2, 1, 0, 3; the pairs are (2, 0) and (1, 3)."""
    features = channels((1, 0), (3, 4), (2, 2), (0, 0)).requires_grad_()
    loss = intra_fd(features)
    assert loss.item() == pytest.approx(((2 - 1) ** 2 + (2 - 0) ** 2 + 3**2 + 4**2) / 4)
    loss.backward()
    # 2 * difference / 4, both halves, opposite signs: the order adds nothing and the salient half is not detached.
    expected = channels((-0.5, -1), (1.5, 2), (0.5, 1), (-1.5, -2))
    torch.testing.assert_close(features.grad, expected)


def test_intra_leaves_out_the_least_salient_of_an_odd_number() -> None:
    """Pairs (3, 4) with (1, 0); the channel of zeros is alone and gets no gradient."""
    features = channels((0, 0), (1, 0), (3, 4)).requires_grad_()
    loss = intra_fd(features)
    assert loss.item() == pytest.approx((2**2 + 4**2) / 2)
    loss.backward()
    torch.testing.assert_close(features.grad, channels((0, 0), (-2, -4), (2, 4)))


@pytest.mark.parametrize(
    ("shallow", "deep", "expected", "gradient"),
    [
        ([[1, 2], [3, 6]], [[1]], (3 - 1) ** 2, [[1, 1], [1, 1]]),  # 2 * (3 - 1) / 4 pixels
        ([[5]], [[1, 2], [3, 6]], (5 - 3) ** 2, [[4]]),
        ([[1, 2, 6]], [[1.5, 2]], ((1.5 - 1.5) ** 2 + (4 - 2) ** 2) / 2, [[0, 1, 1]]),  # windows overlap
        ([[1.5, 2]], [[1, 2, 6]], ((1.5 - 1.5) ** 2 + (2 - 4) ** 2) / 2, [[0, -2]]),
        ([[2], [4]], [[1, 3]], (3 - 2) ** 2, [[1], [1]]),  # taller, but narrower: both are pooled
    ],
    ids=["shallow-larger", "deep-larger", "shallow-3-to-2", "deep-3-to-2", "crosswise"],
)
def test_inter_by_hand(
    shallow: list[list[float]], deep: list[list[float]], expected: float, gradient: list[list[float]]
) -> None:
    """The larger map is averaged to the smaller's size; only the shallow one is pulled."""
    first = torch.tensor(shallow, dtype=torch.float32)[None, None].requires_grad_()
    second = torch.tensor(deep, dtype=torch.float32)[None, None].requires_grad_()
    loss = inter_fd(first, second)
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert second.grad is None
    torch.testing.assert_close(first.grad, torch.tensor(gradient, dtype=torch.float32)[None, None])


def test_inter_takes_the_first_channels_of_the_longer_map() -> None:
    """In both directions."""
    assert inter_fd(channels((1,)), channels((3,), (100,))).item() == pytest.approx(4)
    shallow = channels((3,), (100,)).requires_grad_()
    loss = inter_fd(shallow, channels((1,)))
    assert loss.item() == pytest.approx(4)
    loss.backward()
    torch.testing.assert_close(shallow.grad, channels((4,), (0,)))


# --- a naive loop


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (2, 3, 4, 4), (3, 8, 5, 3), (2, 7, 1, 6), (4, 16, 2, 2)])
def test_intra_equals_a_naive_loop(shape: tuple[int, ...]) -> None:
    """Odd and even channel counts, square and other maps."""
    features = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    assert channel_saliency(features).tolist() == pytest.approx(naive_saliency(features), abs=1e-6)
    assert intra_fd(features).item() == pytest.approx(naive_intra(features), **CLOSE)


@pytest.mark.parametrize(
    ("shallow", "deep"),
    [
        ((2, 3, 8, 8), (2, 6, 4, 4)),
        ((2, 3, 4, 4), (2, 6, 8, 8)),
        ((2, 6, 7, 5), (2, 3, 3, 2)),  # nothing divides
        ((2, 3, 3, 2), (2, 3, 7, 5)),
        ((3, 5, 6, 2), (3, 4, 4, 3)),  # taller, but narrower
        ((1, 4, 5, 5), (1, 2, 5, 5)),
    ],
)
def test_inter_equals_a_naive_loop(shallow: tuple[int, ...], deep: tuple[int, ...]) -> None:
    """Sizes and channel counts in every relation."""
    first, second = maps(*shallow), maps(*deep, seed=1)
    assert inter_fd(first, second).item() == pytest.approx(naive_inter(first, second), **CLOSE)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_any_number_of_stages(count: int) -> None:
    """Mean or sum over all stages, and over all pairs of a shallower and a deeper one; then weighted."""
    stages = [maps(2, 2 * i + 3, 9 - i, 8 - i, seed=i) for i in range(count)]
    intra = [naive_intra(stage) for stage in stages]
    inter = [naive_inter(stages[i], stages[j]) for i in range(count) for j in range(i + 1, count)]
    terms, totals = tfd_terms(stages), tfd_terms(stages, "sum")
    assert list(terms) == list(totals) == ["intra", "inter"]
    assert terms["intra"].item() == pytest.approx(sum(intra) / len(intra), **CLOSE)
    assert terms["inter"].item() == pytest.approx(sum(inter) / len(inter), **CLOSE)
    assert totals["intra"].item() == pytest.approx(sum(intra), **CLOSE)
    assert totals["inter"].item() == pytest.approx(sum(inter), **CLOSE)
    expected = 0.3 * sum(intra) / len(intra) + 0.7 * sum(inter) / len(inter)
    assert TfFD(0.3, 0.7)(*stages).item() == pytest.approx(expected, **CLOSE)
    assert TfFD(0.3, 0.7, "sum")(*stages).item() == pytest.approx(0.3 * sum(intra) + 0.7 * sum(inter), **CLOSE)


def test_the_two_reductions_differ_by_a_factor_of_three() -> None:
    """With three stages, as published."""
    stages = maps(2, 4, 8, 8), maps(2, 6, 4, 4, seed=1), maps(2, 8, 2, 2, seed=2)
    assert TfFD(8e-4, 5e-4, "sum")(*stages).item() == pytest.approx(3 * TfFD(8e-4, 5e-4)(*stages).item(), rel=1e-6)
    for name, term in TfFD(8e-4, 5e-4, "sum").terms(*stages).items():
        assert term.item() == pytest.approx(3 * TfFD(8e-4, 5e-4).terms(*stages)[name].item(), rel=1e-6)


# --- figures of the released script


def test_golden_terms(golden_student: Student, golden_figures: dict[str, Any]) -> None:
    """Cross-entropy, each stage's intra and each pair's inter, of a trained network on real pictures."""
    model, inputs, labels = golden_student
    output = model.train()(inputs[:16])
    ce = nn.functional.cross_entropy(output.logits, labels[:16])
    assert ce.item() == pytest.approx(golden_figures["ce"], rel=1e-5)
    assert [intra_fd(stage).item() for stage in output.stages] == pytest.approx(golden_figures["intra"], rel=1e-5)
    pairs = combinations(enumerate(output.stages, 1), 2)
    inter = {f"{i}{j}": inter_fd(shallow, deep).item() for (i, shallow), (j, deep) in pairs}
    assert inter == pytest.approx(golden_figures["inter"], rel=1e-5)


@pytest.mark.parametrize(
    ("key", "lambda_intra", "lambda_inter"),
    [("tfd_script", 8e-4, 5e-4), ("intra_only", 8e-4, 0), ("inter_only", 0, 5e-4)],
)
@pytest.mark.parametrize(
    ("dtype", "layout", "tolerance"),
    [
        (torch.float64, torch.contiguous_format, 1e-6),
        (torch.float32, torch.contiguous_format, 1e-3),
        (torch.float32, torch.channels_last, 1e-3),
    ],
    ids=["float64", "nchw", "nhwc"],
)
def test_golden_loss_and_gradient(
    key: str,
    lambda_intra: float,
    lambda_inter: float,
    dtype: torch.dtype,
    layout: torch.memory_format,
    tolerance: float,
    golden_student: Student,
    golden_figures: dict[str, Any],
) -> None:
    """The weighted loss, and the L2 norm of its gradient over all weights.

    In float32 the norm depends on the layout by 1.3e-4: a unit whose input is zero but for rounding is on or off. The
    figures themselves agree with float64 to 4e-7.
    """
    model, inputs, _ = golden_student
    model = model.to(dtype=dtype, memory_format=layout).train()
    pictures = inputs[:16].to(dtype).contiguous(memory_format=layout)
    loss = TfFD(lambda_intra, lambda_inter)(*model(pictures).stages)
    assert loss.item() == pytest.approx(golden_figures[key], rel=1e-6 if dtype == torch.float64 else 1e-5)
    loss.backward()
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
    assert norm.item() == pytest.approx(golden_figures[f"{key}_grad_norm"], rel=tolerance)


@pytest.mark.parametrize("case", ["a", "b", "c", "d"])
def test_golden_feature_maps(case: str, golden_figures: dict[str, Any]) -> None:
    """Free-standing maps: a, b shallow larger; c equal sizes and more channels in the shallow; d deep larger."""
    with np.load(GOLDEN / "features.npz") as arrays:
        first, second = (torch.from_numpy(arrays[f"feat/{case}/{i}"]).requires_grad_() for i in (1, 2))
    for name, loss in (("intra_1", intra_fd(first)), ("inter_12", inter_fd(first, second))):
        assert loss.item() == pytest.approx(golden_figures[f"feat/{case}/{name}"], rel=1e-5)
        (gradient,) = torch.autograd.grad(loss, first)
        assert gradient.abs().sum().item() == pytest.approx(
            golden_figures[f"feat/{case}/{name}_grad_abs_sum"], rel=1e-4
        )


# --- gradients


def test_deepest_stage_gets_no_gradient_from_inter() -> None:
    """The deep map of every pair is detached, so the last stage has none and the middle one is pulled by it alone."""
    stages = [maps(2, 4, 8, 8).requires_grad_(), maps(2, 6, 4, 4, seed=1).requires_grad_(), maps(2, 8, 2, 2, seed=2)]
    stages[2].requires_grad_()
    tfd_terms(stages, "sum", intra=False)["inter"].backward()
    assert stages[0].grad is not None and stages[0].grad.abs().sum() > 0
    (alone,) = torch.autograd.grad(inter_fd(stages[1], stages[2]), stages[1])
    torch.testing.assert_close(stages[1].grad, alone)
    assert stages[2].grad is None


def test_intra_gradient_is_that_of_a_fixed_order() -> None:
    """Both halves get it, with opposite signs; the ordering adds none."""
    features = maps(3, 8, 5, 5).requires_grad_()
    assert not channel_saliency(features).requires_grad
    (gradient,) = torch.autograd.grad(intra_fd(features), features)
    order = channel_saliency(features).argsort(descending=True)
    fixed = features.detach()[:, order]
    difference = 2 * (fixed[:, :4] - fixed[:, 4:]) / fixed[:, :4].numel()
    torch.testing.assert_close(gradient[:, order[:4]], difference)
    torch.testing.assert_close(gradient[:, order[4:]], -difference)


def test_gradients_in_float64_against_finite_differences() -> None:
    """Of the shallow map; the deep one is constant, and small steps do not change the order of channels."""
    shallow, deep = (torch.rand(2, 4, n, n, generator=torch.Generator().manual_seed(n)).double() for n in (5, 3))
    assert channel_saliency(shallow).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda maps: TfFD(1, 1)(maps, deep), shallow.requires_grad_())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("count", [4, 5])
def test_gradients_can_be_differentiated_again(layout: torch.memory_format, count: int) -> None:
    """As modes do that match gradients; against finite differences in float64, and with a channel without partner."""
    shallow, deep, deeper = (torch.rand(2, count, n, n, generator=torch.Generator().manual_seed(n)) for n in (4, 2, 1))
    features = shallow.double().contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda maps: TfFD(1, 1)(maps, deep.double(), deeper.double()), features)


# --- invariances


def test_intra_does_not_see_the_order_of_channels() -> None:
    """Nor does its gradient."""
    features = maps(4, 9, 6, 6).requires_grad_()
    permutation = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    shuffled = features.detach()[:, permutation].requires_grad_()
    loss, other = intra_fd(features), intra_fd(shuffled)
    assert other.item() == pytest.approx(loss.item(), rel=1e-6)
    (gradient,), (theirs,) = torch.autograd.grad(loss, features), torch.autograd.grad(other, shuffled)
    torch.testing.assert_close(theirs, gradient[:, permutation])


@pytest.mark.parametrize("sizes", [(8, 4), (4, 8), (7, 3)])
def test_channels_last_equals_contiguous(sizes: tuple[int, int]) -> None:
    """Layout is a matter of speed alone."""
    stages = [maps(3, 5, sizes[0], sizes[0]), maps(3, 8, sizes[1], sizes[1], seed=1)]
    last = [stage.contiguous(memory_format=torch.channels_last) for stage in stages]
    for (name, expected), actual in zip(tfd_terms(stages).items(), tfd_terms(last).values(), strict=True):
        assert actual.item() == pytest.approx(expected.item(), rel=1e-6), name


# --- precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_maps_are_computed_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    """The same numbers as for the same maps in float32, exactly: nothing is rounded or overflows on the way."""
    # Up to 1000, whose square float16 does not have; its sum over a map neither.
    stages = [maps(4, 6, 16, 16).mul(300).to(dtype), maps(4, 8, 8, 8, seed=1).mul(300).to(dtype)]
    expected = tfd_terms([stage.float() for stage in stages])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        actual = tfd_terms(stages)
        saliency = channel_saliency(stages[0])
    assert {name: (term.dtype, term.item()) for name, term in actual.items()} == {
        name: (torch.float32, term.item()) for name, term in expected.items()
    }
    # Not exact: PyTorch sums a half-precision map in another order.
    torch.testing.assert_close(saliency, channel_saliency(stages[0].float()), rtol=1e-6, atol=0)


def test_half_precision_gradient_has_the_dtype_of_the_map() -> None:
    """As autograd needs it."""
    stages = [maps(2, 4, 8, 8, dtype=torch.bfloat16).requires_grad_(), maps(2, 4, 4, 4, dtype=torch.bfloat16)]
    TfFD(1, 1)(*stages).backward()
    assert stages[0].grad is not None and stages[0].grad.dtype == torch.bfloat16
    assert stages[0].grad.abs().sum() > 0


def test_autocast_leaves_float32_maps_alone() -> None:
    """None of the operations is one that autocast would round."""
    stages = maps(4, 6, 16, 16), maps(4, 8, 8, 8, seed=1)
    expected = TfFD(1, 1)(*stages)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = TfFD(1, 1)(*stages)
    assert actual.dtype == torch.float32 and actual.item() == expected.item()


# --- torch.compile


def compiled_equals_eager(backend: str) -> None:
    """Compare value and gradients of a loss compiled as one graph."""
    stages = [maps(2, 4 * (i + 1), 8 // 2**i, 8 // 2**i, seed=i).requires_grad_() for i in range(3)]
    loss = TfFD(0.8, 0.5)
    eager = loss(*stages)
    expected = torch.autograd.grad(eager, stages[:2])
    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend=backend)(*stages)
    actual = torch.autograd.grad(compiled, stages[:2])
    torch.compiler.reset()
    torch.testing.assert_close(compiled, eager, rtol=1e-6, atol=0)
    torch.testing.assert_close(actual, expected)


def test_compiles_to_one_graph() -> None:
    """No graph break; without generating code, which takes a minute."""
    compiled_equals_eager("eager")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="TorchInductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of packages that TorchInductor imports
def test_inductor_code_computes_the_same() -> None:
    """Generated code for the CPU."""
    compiled_equals_eager("inductor")


# --- errors


@pytest.mark.parametrize("shape", [(4, 8), (8, 4, 4), (2, 8, 4, 4, 1), (0, 8, 4, 4), (2, 8, 0, 4)])
def test_what_is_no_feature_map_is_refused(shape: tuple[int, ...]) -> None:
    """By every function, which names itself and the shape."""
    wrong, right = torch.ones(shape), torch.ones(2, 8, 4, 4)
    calls: list[tuple[str, Callable[[], Tensor]]] = [
        ("channel_saliency", lambda: channel_saliency(wrong)),
        ("intra_fd", lambda: intra_fd(wrong)),
        ("inter_fd", lambda: inter_fd(wrong, right)),
        ("inter_fd", lambda: inter_fd(right, wrong)),
    ]
    for name, call in calls:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value) == f"{name} needs non-empty feature maps [B, C, H, W]; got shape {shape}."


def test_one_channel_has_no_partner() -> None:
    """The message says where to choose other stages."""
    with pytest.raises(ValueError, match=r"at least 2; got a map with 1, shape \(2, 1, 4, 4\).*kd_mode.stages"):
        intra_fd(torch.ones(2, 1, 4, 4))


def test_batches_of_different_size() -> None:
    """Would broadcast if one of them were 1."""
    with pytest.raises(ValueError, match="the batch sizes are 1 and 2"):
        inter_fd(torch.ones(1, 4, 4, 4), torch.ones(2, 4, 4, 4))


@pytest.mark.parametrize("value", [-1e-9, -1.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["lambda_intra", "lambda_inter"])
def test_weights_that_weigh_nothing(name: str, value: float) -> None:
    """The message names the weight and its value."""
    weights = {"lambda_intra": 1.0, "lambda_inter": 1.0, name: value}
    with pytest.raises(ValueError, match=f"^{name} weighs a loss, so it must be finite and at least 0; got {value}.$"):
        TfFD(**weights)


def test_unknown_reduction() -> None:
    """Refused where it is given."""
    stages = maps(2, 4, 4, 4), maps(2, 4, 2, 2)
    for call in (lambda: TfFD(1, 1, "none"), lambda: tfd_terms(stages, "none")):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="reduction must be one of mean, sum; got 'none'."):
            call()


def test_too_few_stages() -> None:
    """The inter term needs two, the intra term one."""
    stage = maps(2, 4, 4, 4)
    with pytest.raises(ValueError, match="at least 2 stages, for the inter term compares two; got 1"):
        TfFD(1, 1)(stage)
    with pytest.raises(ValueError, match="at least 1 stage; got 0"):
        TfFD(1, 0)()
    assert TfFD(1, 0)(stage).item() == pytest.approx(naive_intra(stage), **CLOSE)

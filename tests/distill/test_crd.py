"""CRD against hand numbers, a naive loop and figures of the public code, over two steps."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import normal, output
from tffd.distill import Setting, Step
from tffd.distill.crd import ContrastiveDistillation, draw_others, memory_scores, noise_contrast, remember

GOLDEN_C = {"rep.crd": "nce_k", "rep.crd.t01": "nce_k", "kdzoo.crd": "nce_n", "kdzoo.crd.t007": "nce_n"}
# RepDistiller keeps its temperature in a float32 buffer.
CLOSE = {torch.float64: 1e-8, torch.float32: 2e-5}


def naive(probabilities: Tensor, pictures: int) -> float:
    total, count = 0.0, probabilities.shape[1] - 1
    for own, *others in probabilities.double().tolist():
        total -= math.log(own / (own + count / pictures))
        total -= sum(math.log(count / pictures / (other + count / pictures)) for other in others)
    return total / len(probabilities)


def labelled(classes: int = 3, pictures: int = 10, count: int = 4) -> Setting:
    shapes = [output(pooled=width, classes=classes, count=count, seed=seed) for seed, width in enumerate((5, 7))]
    return dataclasses.replace(setting(*shapes, pictures=pictures), labels=torch.arange(pictures) % classes)


def test_noise_contrast_by_hand() -> None:
    """One negative of two pictures: the noise is 1/2, as is everything else."""
    assert noise_contrast(torch.full((1, 2), 0.5), 2).item() == pytest.approx(2 * math.log(2), rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 2), (2, 4), (3, 9)])
def test_noise_contrast_equals_a_naive_loop(shape: tuple[int, int]) -> None:
    probabilities = normal(*shape).exp() / 10
    assert noise_contrast(probabilities, 12).item() == pytest.approx(naive(probabilities, 12), rel=1e-5)


def test_scores_are_those_of_gathered_vectors() -> None:
    """With the gradient of them, and whatever is written to the memory before the backward pass."""
    vectors, memory = normal(3, 4).requires_grad_(), normal(6, 4, seed=1)
    places = torch.tensor([[0, 5, 5], [1, 2, 0], [4, 4, 3]])
    expected = ((vectors[:, None] * memory[places]).sum(dim=2) / 0.5).exp()
    (wanted,) = torch.autograd.grad(expected.sum(), vectors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = memory_scores(vectors, memory, places, 0.5)
    memory.zero_()
    (found,) = torch.autograd.grad(scores.sum(), vectors)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(found, wanted)


def test_memory_by_hand() -> None:
    """Halfway from (1, 0) to (0, 1) is the diagonal; other places stay."""
    memory = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    remember(memory, torch.tensor([0]), torch.tensor([[0.0, 1.0]]), 0.5)
    torch.testing.assert_close(memory, torch.tensor([[math.sqrt(0.5), math.sqrt(0.5)], [2.0, 0.0]]))


def test_negatives_are_all_those_of_other_classes() -> None:
    """Each as often as any other, the same from the same seed."""
    labels = torch.tensor([2, 0, 1, 0, 2, 2, 0, 1, 1, 1])
    counts = torch.bincount(labels)
    ends = counts.cumsum(0)
    bounds = torch.stack([ends - counts, ends], dim=1)
    asked = torch.tensor([0, 1, 2])
    drawn = draw_others(asked, labels.argsort(stable=True), bounds, 6000, seed=3)
    for label, places in zip(asked, drawn, strict=True):
        found = torch.bincount(places, minlength=10)
        assert (found[labels == label] == 0).all()
        share = found[labels != label] / 6000 * (labels != label).sum()
        assert (share - 1).abs().max() < 0.15  # some 4 standard deviations
    assert torch.equal(drawn, draw_others(asked, labels.argsort(stable=True), bounds, 6000, seed=3))
    assert not torch.equal(drawn, draw_others(asked, labels.argsort(stable=True), bounds, 6000, seed=4))


@pytest.mark.golden_c
@pytest.mark.parametrize("dtype", golden_c.DTYPES)
@pytest.mark.parametrize("name", GOLDEN_C)
def test_golden_c(name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of the mode on given places: losses, constants, memories and the gradients of both layers."""
    tolerance = golden_c.Tolerance(CLOSE[dtype], max(CLOSE[dtype] / 2, 1e-8), 1e-6)
    monkeypatch.setitem(golden_c.TOLERANCES, dtype, tolerance)
    monkeypatch.setitem(golden_c.TOLERANCES, torch.float64, dataclasses.replace(tolerance, zero=1e-10))
    case = golden_c.Case(name, dtype)
    hyper, first = case.hyper, output(pooled=64, count=16)
    temperature = float(torch.tensor(hyper["nce_t"])) if name.startswith("rep") else hyper["nce_t"]
    mode = ContrastiveDistillation(
        hyper[GOLDEN_C[name]], temperature, hyper.get("nce_m", hyper.get("nce_mom")),
        hyper["feat_dim"],
    )  # fmt: skip
    shapes = setting(first, output(pooled=128, count=16), pictures=hyper["n_data"])
    mode.build(dataclasses.replace(shapes, labels=torch.arange(hyper["n_data"]) % 3))
    mode.to(dtype)
    mode.student_memory.copy_(golden_c.tensor("crd/memory_v1"))
    mode.teacher_memory.copy_(golden_c.tensor("crd/memory_v2"))
    embeddings = torch.nn.ModuleDict({"embed_s": mode.embed_student, "embed_t": mode.embed_teacher})
    case.load(embeddings, "w/crd.embed")
    for number, suffix in ((1, ""), (2, "b")):
        which = "" if number == 1 else "2"
        ours, theirs = (
            first._replace(pooled=case[f"s/pool64{suffix}"]),
            first._replace(pooled=case[f"t/pool128{suffix}"]),
        )
        step = dataclasses.replace(step_of(ours, theirs), index=golden_c.tensor(f"index{which}"))
        loss = mode.contrast(step, golden_c.tensor(f"contrast_idx{which}"))
        values = {
            "Z1" if number == 1 else "Z1_after2": mode.constants[0],
            "Z2" if number == 1 else "Z2_after2": mode.constants[1],
            f"memory_v1_sum_after{number}": mode.student_memory.sum(),
            f"memory_v2_sum_after{number}": mode.teacher_memory.sum(),
            "loss" if number == 1 else "loss_step2": loss,
        }
        case.compare_step(f"step{number}", loss, **values)


def steps(mode: ContrastiveDistillation, given: Setting) -> Step:
    mode.build(given)
    return step_of(given.student, given.teacher)


def test_mode_draws_from_the_step_s_seed() -> None:
    """Equal steps of equal modes are equal, and another seed draws others."""
    torch.manual_seed(0)
    mode, given = ContrastiveDistillation(negatives=6, width=4), labelled()
    step = steps(mode, given)
    state = {name: value.clone() for name, value in mode.state_dict().items()}
    losses = []
    for draw in (1, 1, 2):
        mode.load_state_dict(state)
        losses.append(mode(dataclasses.replace(step, draw=draw))["crd"].item())
    assert losses[0] == losses[1] != losses[2]


def test_mode_s_memory_and_constants_are_kept_in_checkpoints() -> None:
    """The constants are those of the first step, and only places of the batch move."""
    mode = ContrastiveDistillation(negatives=6, width=4)
    step = steps(mode, labelled())
    before = mode.student_memory.clone()
    mode(step)["crd"].backward()
    constants = mode.constants.clone()
    assert (constants > 0).all() and torch.equal(mode.student_memory[4:], before[4:])
    assert (mode.student_memory[:4] - before[:4]).abs().min() > 0
    mode(dataclasses.replace(step, draw=5))
    assert torch.equal(mode.constants, constants)
    buffers = {name for name in mode.state_dict() if not name.startswith("embed")}
    assert buffers == {"student_memory", "teacher_memory", "constants"}
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in mode.parameters())


def test_what_cannot_work_is_refused() -> None:
    for options, message in (
        ({"negatives": 0}, "at least 1; got 0 and 128"),
        ({"width": 0}, "at least 1; got 16384 and 0"),
        ({"temperature": 0.0}, "finite and above 0; got 0.0"),
        ({"momentum": 1.0}, "at least 0 and below 1; got 1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            ContrastiveDistillation(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there are 10 pictures of 1 classes"):
        ContrastiveDistillation().check(labelled(classes=1))
    with pytest.raises(ValueError, match="needs the labels of all training pictures"):
        ContrastiveDistillation().build(dataclasses.replace(labelled(), labels=None))

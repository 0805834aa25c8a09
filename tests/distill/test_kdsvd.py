"""Singular vectors against hand numbers, the sources' way of computing them and figures of the public code."""

import itertools
import math
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import golden_c
from tests.distill.compositions import setting, step_of
from tests.distill.properties import Loss, check_at_rest, check_finite, check_loss, normal, output
from tffd.distill.kdsvd import Form, SingularVectors, right_singular_vectors, singular_vector_relations

FORMS = get_args(Form)
# The form, and by how much the teacher's maps are averaged down.
GOLDEN_C: dict[str, tuple[Form, int]] = {
    "rep.kdsvd": ("repdistiller", 1),
    "rep.kdsvd.pooled": ("repdistiller", 2),
    "mdist.kdsvd": ("mdistiller", 1),
}
# mdistiller computes in float32, whatever it is given.
FIGURES = [
    (name, dtype) for name in GOLDEN_C for dtype in golden_c.DTYPES if (name[:5], dtype.itemsize) != ("mdist", 8)
]


def maps(*shape: int, seed: int = 0) -> Tensor:
    """Return maps as a ReLU leaves them, of which no two singular values are alike."""
    return normal(*shape, seed=seed).relu() + torch.arange(1, shape[1] + 1)[:, None, None] / shape[1]


def naive(student: list[Tensor], teacher: list[Tensor], k: int, form: str) -> float:
    """Stage by stage and picture by picture, with loops over the numbers of the vectors."""

    def matrix(picture: Tensor) -> Tensor:
        channels, _, columns = picture.shape
        return picture.reshape(channels, -1).T if form == "repdistiller" else picture.reshape(-1, columns)

    total = 0.0
    for b in range(len(student[0])):
        before: list[tuple[list[float], list[float]]] = []
        for ours, theirs in zip(student, teacher, strict=True):
            _, _, our_rows = torch.linalg.svd(matrix(ours[b].double()), full_matrices=False)
            _, values, their_rows = torch.linalg.svd(matrix(theirs[b].double()), full_matrices=False)
            found = []
            for j in range(k):
                target = their_rows[j] * their_rows[j].sum().sign()
                likest = max(our_rows[: k + 3], key=lambda row: abs(float(row @ target)))
                scale = values[j] / values[:k].norm()
                found.append(((likest * (likest @ target).sign() * scale).tolist(), (target * scale).tolist()))
            for (s, t), (s_next, t_next) in zip(before, found, strict=bool(before)):
                total += sum(
                    (math.exp(-((x - y) ** 2) / 8) - math.exp(-((z - w) ** 2) / 8)) ** 2
                    for x, z in zip(s_next, t_next, strict=True)
                    for y, w in zip(s, t, strict=True)
                )
            before = found
    return total / len(student[0])


def of_pair(form: Form, k: int = 1) -> Loss:
    """Return the loss of two stages that are made of the channels or columns of one map."""

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        stages = [[each[:, :, : each.shape[2] // 2], each[:, :, each.shape[2] // 2 :]] for each in (student, teacher)]
        return singular_vector_relations(*stages, k, form)

    return loss


def test_by_hand() -> None:
    """Maps of one position: a vector is the map by its norm; the student's first one takes the teacher's sign."""
    student, teacher = [[-3.0, -4.0], [4.0, 3.0]], [[2.0, 0.0], [0.0, 5.0]]
    (s, s_next), (t, t_next) = ([0.6, 0.8], [0.8, 0.6]), ([1.0, 0.0], [0.0, 1.0])
    expected = sum(
        (math.exp(-((s_next[c] - s[d]) ** 2) / 8) - math.exp(-((t_next[c] - t[d]) ** 2) / 8)) ** 2
        for c in range(2)
        for d in range(2)
    )
    shaped = ([torch.tensor(each)[None, :, None, None] for each in side] for side in (student, teacher))
    assert singular_vector_relations(*shaped).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [1, 2])
def test_equals_a_naive_loop(k: int, form: Form) -> None:
    """Three stages, of other widths from stage to stage, with fewer positions than channels in the last."""
    student = [maps(2, 3, 4, 4), maps(2, 4, 4, 4, seed=1), maps(2, 6, 2, 2, seed=2)]
    teacher = [maps(2, 3, 6, 4, seed=3), maps(2, 4, 4, 4, seed=4), maps(2, 6, 2, 2, seed=5)]
    loss = singular_vector_relations(student, teacher, k, form)
    assert loss.item() == pytest.approx(naive(student, teacher, k, form), rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_what_every_loss_must_do(form: Form) -> None:
    loss = of_pair(form)
    check_loss(loss, maps(2, 3, 8, 4), maps(2, 3, 4, 4, seed=1))
    check_at_rest(loss, maps(2, 3, 8, 4))
    check_finite(loss, maps(1, 3, 8, 4), maps(1, 3, 4, 4, seed=1))


@pytest.mark.parametrize("shape", [(2, 6, 4), (2, 3, 5)])
def test_gradient_of_vectors_equals_that_of_the_decomposition(shape: tuple[int, ...]) -> None:
    """Where all singular values differ, for matrices that are high or wide."""
    matrices, weight = normal(*shape).double().requires_grad_(), normal(2, shape[2], 2, seed=1).double()
    vectors = right_singular_vectors(matrices, 2)
    _, _, rows = torch.linalg.svd(matrices, full_matrices=False)
    signs = (vectors * rows.mT[:, :, :2]).sum(dim=1, keepdim=True).sign().detach()
    expected = (weight * signs * rows.mT[:, :, :2]).sum()
    found = [torch.autograd.grad(total, matrices)[0] for total in ((weight * vectors).sum(), expected)]
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("form", FORMS)
def test_channels_that_are_dead(form: Form) -> None:
    """Several singular values are 0, so that the gradient of a whole decomposition is NaN; or all are."""
    student = maps(2, 6, 8, 4)
    student[:, 2:] = 0
    student[1] = 0
    check_finite(of_pair(form), student, maps(2, 6, 8, 4, seed=1))
    check_finite(of_pair(form), maps(2, 6, 8, 4), student)


def test_a_network_that_has_diverged_has_no_loss() -> None:
    """Where a decomposition would raise an error of its own."""
    student = maps(2, 3, 8, 4)
    student[0, 0, 0, 0] = math.nan
    assert of_pair("repdistiller")(student, maps(2, 3, 8, 4, seed=1)).isnan()


@pytest.mark.golden_c
@pytest.mark.parametrize(("name", "dtype"), FIGURES)
def test_golden_c(name: str, dtype: torch.dtype) -> None:
    """The sum over both pairs of neighbours, each of them where the case has it, and the student's gradients.

    The library's signs are those of LAPACK on a CPU.
    """
    case, (form, pool) = golden_c.Case(name, dtype), GOLDEN_C[name]
    student, k = case.stages("s"), case.hyper["k"]
    teacher = [F.avg_pool2d(features, pool) for features in case.stages("t_eq")]
    pairs = [singular_vector_relations(student[i : i + 2], teacher[i : i + 2], k, form, "library") for i in (0, 1)]
    parts = {"pair12": pairs[0], "pair23": pairs[1]} if "terms" in case.expected else {}
    case.compare(singular_vector_relations(student, teacher, k, form, "library"), **parts)


def test_what_cannot_be_compared_is_refused() -> None:
    stage = maps(2, 3, 4, 4)
    for ours, theirs in ((1, 1), (2, 3)):
        with pytest.raises(ValueError, match=f"the student has {ours} and the teacher {theirs}. Pass as many of each"):
            singular_vector_relations([stage] * ours, [stage] * theirs)
    with pytest.raises(ValueError, match="as many channels; the student's has 3 and the teacher's 4"):
        singular_vector_relations([stage] * 2, [maps(2, 4, 4, 4)] * 2)
    with pytest.raises(ValueError, match="as many columns; the student's has 4 and the teacher's 5"):
        singular_vector_relations([stage] * 2, [maps(2, 3, 4, 5)] * 2, form="mdistiller")
    with pytest.raises(ValueError, match=r"k=4 singular vectors are more than matrices of shapes \(16, 3\)"):
        singular_vector_relations([stage] * 2, [stage] * 2, k=4)
    with pytest.raises(ValueError, match="the batch sizes are 2 and 1"):
        singular_vector_relations([stage] * 2, [maps(1, 3, 4, 4)] * 2)
    with pytest.raises(ValueError, match="at least 1; got 0."):
        SingularVectors(k=0)
    with pytest.raises(ValueError, match="form must be one of repdistiller, mdistiller; got 'zoo'."):
        SingularVectors(form="zoo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="signs must be one of positive, library; got 'any'."):
        SingularVectors(signs="any")  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_signs_of_the_library_do_not_count(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless they are asked for: here those of every other decomposition are turned, in the first picture."""
    decompose = torch.linalg.svd
    stages = [[maps(2, 3, 4, 4, seed=seed), maps(2, 3, 4, 4, seed=seed + 1)] for seed in (0, 2)]
    expected = singular_vector_relations(*stages, form=form)
    turns = itertools.cycle([1.0, 1.0, -1.0, -1.0])  # stage by stage, the student's and the teacher's

    def turned(matrices: Tensor, full_matrices: bool) -> tuple[Tensor, Tensor, Tensor]:
        left, values, rows = decompose(matrices, full_matrices=full_matrices)
        signs = torch.tensor([next(turns), 1.0])[:, None, None]
        return left * signs, values, rows * signs

    library = singular_vector_relations(*stages, form=form, signs="library")
    monkeypatch.setattr(torch.linalg, "svd", turned)
    assert singular_vector_relations(*stages, form=form).item() == pytest.approx(expected.item(), rel=1e-5)
    assert singular_vector_relations(*stages, form=form, signs="library").item() != pytest.approx(
        library.item(), rel=0.1
    )


def test_mode_compares_the_pairs_that_it_is_given() -> None:
    student, teacher = output((3, 4, 4), (4, 2, 2)), output((3, 4, 4), (5, 4, 4), (4, 2, 2), seed=1)
    mode = SingularVectors(stages=[[1, 1], [2, 3]])
    mode.check(setting(student, teacher))
    mode.build(setting(student, teacher))
    expected = singular_vector_relations(student.stages, [teacher.stages[0], teacher.stages[2]])
    assert mode(step_of(student, teacher))["kdsvd"].item() == pytest.approx(expected.item(), rel=1e-6)
    with pytest.raises(ValueError, match="as many channels; the student's has 4 and the teacher's 5. Choose other"):
        SingularVectors(stages=[[1, 1], [2, 2]]).check(setting(student, teacher))
    with pytest.raises(ValueError, match="must be at least two pairs, to have neighbours"):
        SingularVectors(stages="last").check(setting(student, teacher))

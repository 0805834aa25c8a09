"""Singular vectors of feature maps: the kd_mode, and the pure functions of maps."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.pairs import Chosen, paired_stages, stage_pairs
from tffd.tensors import in_float32, require_maps, require_same_batch, shape_of, unit_vectors, without_autocast

Form = Literal["repdistiller", "mdistiller"]
"""Of which matrix: repdistiller takes a map as [H * W, C], as the paper does, mdistiller as [C * H, W]."""

Signs = Literal["positive", "library"]
"""A singular vector's sign is arbitrary. positive: the teacher's vectors are turned so that their numbers add up to 0
or more; library: they are left as the linear algebra library returns them, as both sources do."""

_SPARE = 3  # The student's vectors beside the first k that may be like one of the teacher's.


class SingularVectors(DistillMode):
    """Singular vectors of neighbouring stages relate as the teacher's do; see `singular_vector_relations`.

    Args:
        k: How many of the teacher's vectors count.
        form: Whose matrix.
        signs: The signs of the teacher's vectors.
        stages: None takes all in their order; or at least two pairs [student's, teacher's], counted from 1.
    """

    terms = ("kdsvd",)
    needs_teacher = True
    captures = False  # CUDA's singular value decomposition waits for the card

    def __init__(
        self, k: int = 1, form: Form = "repdistiller", signs: Signs = "positive", stages: Chosen = None
    ) -> None:
        super().__init__()
        _require_options(k, form, signs)
        self.k, self.form, self.signs, self.chosen = k, form, signs, stages

    def check(self, setting: Setting) -> None:
        pairs = stage_pairs(setting, self.chosen)
        if len(pairs) < 2:
            raise ValueError(f"stages={[list(pair) for pair in pairs]} must be at least two pairs, to have neighbours.")
        for ours, theirs in pairs:
            student, teacher = setting.student.stages[ours - 1], setting.teacher_output.stages[theirs - 1]
            _require_fit(_matrices(student, self.form), _matrices(teacher, self.form), self.k, self.form)

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours, theirs = zip(*paired_stages(step, self._pairs), strict=True)
        return {"kdsvd": singular_vector_relations(ours, theirs, self.k, self.form, self.signs)}


def singular_vector_relations(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    k: int = 1,
    form: Form = "repdistiller",
    signs: Signs = "positive",
) -> Tensor:
    """Pull the relations between the singular vectors of a student's neighbouring stages towards the teacher's.

    sum over neighbours of mean over pictures of the sum over c, d, j of (r_s[c, d, j] - r_t[c, d, j]) ** 2,
    r[c, d, j] = exp(-(v'[c, j] - v[d, j]) ** 2 / 8)

    v and v' are the first k right singular vectors of a stage and of the next one. The student's are those of its
    first k + 3 that are most like the teacher's, with the teacher's signs. All are multiplied by the teacher's k
    singular values, divided by their norm: by 1 for k = 1.

    Departures from the sources: with signs="positive" the loss is the same on every device. With the library's signs
    v and v' may point in opposite directions in all pictures or in some, as the shapes of their matrices and the
    library have it, and the loss is several times as large then. And the gradient is that of the vectors that count
    alone: the one of a whole decomposition is not finite for maps with dead channels.

    Args:
        student: At least two feature maps, shallow to deep, each [B, C, H, W].
        teacher: As many, of the same pictures, with as many channels (columns in mdistiller's form); they receive no
            gradient.
        k: At least 1.
        form: Whose matrix.
        signs: The signs of the teacher's vectors.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If numbers of stages, batch sizes, channels or columns differ, there are fewer than two stages, or
            an option is not valid.
    Source: Lee et al., "Self-supervised Knowledge Distillation Using Singular Value Decomposition", ECCV 2018;
        distiller_zoo/KDSVD.py of RepDistiller at b84f547, mdistiller/distillers/KDSVD.py of mdistiller at a08d46f.
    """
    _require_options(k, form, signs)
    if len(student) != len(teacher) or len(student) < 2:
        raise ValueError(
            f"singular_vector_relations compares neighbouring stages; the student has {len(student)} and the teacher "
            f"{len(teacher)}. Pass as many of each, and at least two."
        )
    vectors = [_aligned(*maps, k, form, signs) for maps in zip(student, teacher, strict=True)]
    losses = []
    for (ours, theirs), (our_next, their_next) in pairwise(vectors):
        differences = _relations(ours, our_next) - _relations(theirs, their_next)
        losses.append(differences.square().sum() / len(differences))
    return torch.stack(losses).sum()


def right_singular_vectors(matrices: Tensor, count: int) -> Tensor:
    """Return the first right singular vectors of matrices, differentiable.

    dv[j] = sum over i other than j of v[i] (v[i] . dA v[j]) / (s[j]^2 - s[i]^2), dA the change of matrix^T matrix,
    v[i] beyond the rank of the matrix included; where two singular values are one, that direction has no gradient

    Args:
        matrices: [B, M, N].
        count: At most min(M, N).
    Returns:
        [B, N, count], their signs arbitrary.
    """
    _, values, rows = torch.linalg.svd(_finite(matrices), full_matrices=False)
    basis, squares = rows.mT, values.square()
    vectors, kept = basis[:, :, :count], squares[:, None, :count]
    # The change has the value 0 and the gradient of dA v, so that vectors below keep their value and gain dv.
    products = matrices.mT @ (matrices @ vectors)
    change = products - products.detach()
    zero = torch.finfo(matrices.dtype).eps * squares[:, None, :1]
    outside = _inverse(kept, zero)
    inside = _inverse(kept - squares[:, :, None], zero) - outside
    turned: Tensor = vectors + basis @ (inside * (basis.mT @ change)) + outside * change
    return turned


def _aligned(student: Tensor, teacher: Tensor, k: int, form: Form, signs: Signs) -> tuple[Tensor, Tensor]:
    """Return the student's and the teacher's vectors of one stage, [B, N, k] each."""
    require_maps("singular_vector_relations", student, teacher)
    require_same_batch("singular_vector_relations", student, teacher)
    ours, theirs = _matrices(in_float32(student), form), _matrices(in_float32(teacher.detach()), form)
    _require_fit(ours, theirs, k, form)
    with without_autocast(ours):
        candidates = right_singular_vectors(ours, min(k + _SPARE, *ours.shape[1:]))
        _, values, rows = torch.linalg.svd(_finite(theirs), full_matrices=False)
        targets = rows.mT[:, :, :k]
        if signs == "positive":
            targets = torch.where(targets.sum(dim=1, keepdim=True) < 0, -targets, targets)
        cosines = (candidates.mT @ targets).detach()
    likest = cosines.abs().argmax(dim=1, keepdim=True)
    chosen = candidates.gather(2, likest.expand(-1, candidates.shape[1], -1))
    scale = unit_vectors(values[:, None, :k])
    return chosen * cosines.gather(1, likest).sign() * scale, targets * scale


def _matrices(maps: Tensor, form: Form) -> Tensor:
    return maps.flatten(2).mT if form == "repdistiller" else maps.flatten(1, 2)


def _finite(matrices: Tensor) -> Tensor:
    """Return what can be decomposed: a network that has diverged is to end the run by its loss, as in other modes."""
    return matrices.detach().nan_to_num()


def _inverse(values: Tensor, zero: Tensor) -> Tensor:
    """Return 1 / values, and 0 where they are not above the size of rounding."""
    return torch.where(values.abs() > zero, 1 / values, 0)


def _relations(first: Tensor, second: Tensor) -> Tensor:
    """Return how near each number of the second vectors is to each of the first, [B, N2, N1, k]."""
    return (-(second[:, :, None] - first[:, None]).square() / 8).exp()


def _require_options(k: int, form: str, signs: str) -> None:
    if k < 1:
        raise ValueError(f"k is the number of singular vectors that count, at least 1; got {k}.")
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}; got {form!r}.")
    if signs not in get_args(Signs):
        raise ValueError(f"signs must be one of {', '.join(get_args(Signs))}; got {signs!r}.")


def _require_fit(student: Tensor, teacher: Tensor, k: int, form: Form) -> None:
    """Raise ValueError unless singular vectors of two stages can be compared: matrices [B, M, N]."""
    what = "channels" if form == "repdistiller" else "columns"
    if student.shape[2] != teacher.shape[2]:
        raise ValueError(
            f"singular vectors are compared number by number, so both stages need as many {what}; the student's has "
            f"{student.shape[2]} and the teacher's {teacher.shape[2]}. Choose other stages, or another teacher."
        )
    if k > min(*student.shape[1:], *teacher.shape[1:]):
        raise ValueError(
            f"k={k} singular vectors are more than matrices of shapes {shape_of(student)[1:]} and "
            f"{shape_of(teacher)[1:]} have."
        )

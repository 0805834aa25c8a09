"""Knowledge review: the kd_mode, the loss, and the modules that fuse a student's maps from deep to shallow."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.pairs import Chosen, stage_pairs
from tffd.models import ModelOutput
from tffd.tensors import Reduction, in_float32, pool_to_smaller, reduce, require_reduction, shape_of


class KnowledgeReview(DistillMode):
    """Each of the teacher's stages is learnt from all of the student's that are as deep or deeper; see `review`.

    The pooled vectors of both networks are one more level, the deepest, as maps of size 1x1. The teacher's maps are
    those before the ReLU. The stem takes no part.

    Args:
        levels: Sizes to which `hierarchical_context` pools.
        max_width: The fused maps have as many channels as the student's pooled vector, and at most so many.
        student_preact: Whether the student's maps are those before the ReLU, as mdistiller's option of that name.
        stages: Pairs [student's, teacher's], shallow to deep, counted from 1; None takes all in their order, "last"
            the last.
        reduction: Over the stages and the pooled level.
    """

    terms = ("reviewkd",)
    needs_teacher = True

    def __init__(
        self,
        levels: Sequence[int] = (4, 2, 1),
        max_width: int = 512,
        student_preact: bool = False,
        stages: Chosen = None,
        reduction: Reduction = "sum",
    ) -> None:
        super().__init__()
        require_reduction(reduction)
        _require_levels(levels)
        if max_width < 1:
            raise ValueError(f"max_width is a number of channels, at least 1; got {max_width}.")
        self.levels, self.max_width, self.student_preact = tuple(levels), max_width, student_preact
        self.chosen, self.reduction = stages, reduction
        self.fusions = nn.ModuleList()

    def check(self, setting: Setting) -> None:
        stage_pairs(setting, self.chosen)

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)
        ours, theirs = self._maps(setting.student, setting.teacher_output)
        width = min(self.max_width, ours[-1].shape[1])
        self.fusions = nn.ModuleList(
            Fusion(own.shape[1], width, target.shape[1], fuses=number > 0)
            for number, (own, target) in enumerate(zip(reversed(ours), reversed(theirs), strict=True))
        )

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours, theirs = self._maps(step.student, step.teacher_output)
        predictions = review(self.fusions, ours, [(maps.shape[2], maps.shape[3]) for maps in theirs])
        pairs = zip(predictions, theirs, strict=True)
        each = [hierarchical_context(prediction, target, self.levels) for prediction, target in pairs]
        return {"reviewkd": reduce(each, self.reduction)}

    def _maps(self, student: ModelOutput, teacher: ModelOutput) -> tuple[list[Tensor], list[Tensor]]:
        """Return the maps of both that belong together, shallow to deep, the pooled vectors last."""
        own = student.preacts if self.student_preact else student.stages
        ours = [own[stage - 1] for stage, _ in self._pairs]
        theirs = [teacher.preacts[stage - 1] for _, stage in self._pairs]
        return [*ours, student.pooled[:, :, None, None]], [*theirs, teacher.pooled[:, :, None, None]]


def hierarchical_context(student: Tensor, teacher: Tensor, levels: Sequence[int] = (4, 2, 1)) -> Tensor:
    """Pull a map towards a teacher's, as it is and averaged down to several sizes, the later the less they count.

    (mse(s, t) + sum over j = 1 to n of 2 ** -j * mse(pool_j(s), pool_j(t))) / (1 + sum over j of 2 ** -j), where pool_j
    averages to l x l, and l is the j-th of those levels that are smaller than the map

    The references compare l with the rows alone, since their maps are square; here it is smaller than the columns too.

    Args:
        student: What a student's fused maps make of the teacher's, [B, C, H, W].
        teacher: Map of the same shape, of the same pictures; receives no gradient.
        levels: Sizes, each at least 1, in the order of their weights; a map of 1x1 has none of them.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If the shapes differ, are not 4-D or are empty, or a level is below 1.
    Source: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021; hcl (CIFAR-100/model/reviewkd.py of
        ReviewKD at 6607308), hcl_loss (mdistiller/distillers/ReviewKD.py of mdistiller at a08d46f).
    """
    if student.shape != teacher.shape or student.ndim != 4 or student.numel() == 0:
        raise ValueError(
            f"hierarchical_context needs non-empty maps [B, C, H, W] of one shape; the student's is "
            f"{shape_of(student)} and the teacher's {shape_of(teacher)}. Put a Fusion between different networks."
        )
    _require_levels(levels)
    differences = in_float32(student) - in_float32(teacher.detach())  # pooling them pools both maps at once
    loss, total = differences.square().mean(), 1.0
    for number, level in enumerate((each for each in levels if each < min(differences.shape[2:])), start=1):
        pooled, _ = pool_to_smaller(differences, differences[:, :, :level, :level])
        loss = loss + 2.0**-number * pooled.square().mean()
        total += 2.0**-number
    return loss / total


class Fusion(nn.Module):
    """Attention-based fusion of a student's map with what the deeper ones handed on.

    The student's map passes a 1x1 convolution and batch norm to the common width. What was handed on is brought to its
    size, and two gates, the sigmoid of a 1x1 convolution of both, weigh the two position by position. Their sum is
    brought to the teacher's size; it is handed on, and a 3x3 convolution and batch norm make a map like the teacher's
    of it. Both changes of size take the nearest position. Only the gates' convolution has a bias. The two other
    convolutions start from uniform numbers of variance 1 / fan-in.

    Where a channel has one number, as the pooled level of one picture, batch statistics do not exist, and PyTorch
    refuses it in training; the batch norms then take their running statistics.

    Args:
        student: Channels of the student's map.
        width: Channels of what is handed on.
        teacher: Channels of the teacher's map.
        fuses: Whether anything was handed on; not so for the deepest.
    Source: ABF (CIFAR-100/model/reviewkd.py of ReviewKD at 6607308), the same in mdistiller at a08d46f.
    """

    def __init__(self, student: int, width: int, teacher: int, fuses: bool) -> None:
        super().__init__()
        reduction = nn.Conv2d(student, width, kernel_size=1, bias=False)
        output = nn.Conv2d(width, teacher, kernel_size=3, padding=1, bias=False)
        for convolution in (reduction, output):
            nn.init.kaiming_uniform_(convolution.weight, a=1)
        # The source's names.
        self.conv1 = nn.Sequential(reduction, _BatchNorm(width))
        self.conv2 = nn.Sequential(output, _BatchNorm(teacher))
        self.att_conv = nn.Sequential(nn.Conv2d(2 * width, 2, kernel_size=1), nn.Sigmoid()) if fuses else None

    def forward(self, features: Tensor, size: tuple[int, int], deeper: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return a map like the teacher's, and what is handed on.

        Args:
            features: The student's map, [B, C1, H1, W1].
            size: Rows and columns of the teacher's map, (H2, W2).
            deeper: What the next deeper level handed on, [B, width, H, W], if this one fuses.
        Returns:
            [B, C2, H2, W2] and [B, width, H2, W2].
        Raises:
            ValueError: If something was handed on to a module that does not fuse, or nothing to one that does.
        """
        if (self.att_conv is None) != (deeper is None):
            raise ValueError("a Fusion takes what a deeper one handed on exactly if it was built with fuses=True.")
        fused = self.conv1(features)
        if self.att_conv is not None and deeper is not None:
            deeper = _resized(deeper, (features.shape[2], features.shape[3]))
            own_gate, deeper_gate = self.att_conv(torch.cat([fused, deeper], dim=1)).split(1, dim=1)
            fused = own_gate * fused + deeper_gate * deeper
        fused = _resized(fused, size)
        return self.conv2(fused), fused


def review(fusions: nn.ModuleList, student: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Make maps like a teacher's of a student's, each with the help of the deeper ones.

    Args:
        fusions: One `Fusion` for each map, deep to shallow; the first does not fuse, the others do.
        student: Maps, shallow to deep, each [B, C, H, W].
        sizes: Rows and columns of the teacher's maps, shallow to deep.
    Returns:
        Maps of the teacher's channels and sizes, shallow to deep.
    Raises:
        ValueError: If the numbers of modules, maps and sizes differ.
    """
    if not len(fusions) == len(student) == len(sizes):
        raise ValueError(
            f"review needs a Fusion and a size for each map; got {len(fusions)} modules, {len(student)} maps and "
            f"{len(sizes)} sizes."
        )
    predictions: list[Tensor] = []
    handed_on = None
    for fusion, features, size in zip(fusions, reversed(student), reversed(sizes), strict=True):
        prediction, handed_on = fusion(features, size, handed_on)
        predictions.append(prediction)
    return predictions[::-1]


class _BatchNorm(nn.BatchNorm2d):
    """Batch norm that takes its running statistics where there is one number a channel."""

    def forward(self, maps: Tensor) -> Tensor:
        if maps.numel() > self.num_features:
            return super().forward(maps)
        return F.batch_norm(maps, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[2:] == size else F.interpolate(maps, size, mode="nearest")


def _require_levels(levels: Sequence[int]) -> None:
    if any(level < 1 for level in levels):
        raise ValueError(f"levels are sizes to which maps are pooled, each at least 1; got {list(levels)}.")

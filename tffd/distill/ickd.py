"""Inter-channel correlation: the kd_mode, the loss, and the connector that gives a student the teacher's channels."""

from torch import Tensor, nn

from tffd.distill.base import DistillMode, Setting, Step
from tffd.distill.pairs import Chosen, paired_stages, stage_pairs
from tffd.tensors import (
    Reduction,
    in_float32,
    reduce,
    require_maps,
    require_reduction,
    require_same_batch,
    unit_vectors,
    without_autocast,
)


class InterChannel(DistillMode):
    """Channels of a stage correlate as the teacher's do, behind an `Embedding`; see `inter_channel`.

    Args:
        stages: "last" is the source's choice; None takes all in their order; or pairs [student's, teacher's], counted
            from 1.
        reduction: Over the stages.
    """

    terms = ("ickd",)
    needs_teacher = True

    def __init__(self, stages: Chosen = "last", reduction: Reduction = "sum") -> None:
        super().__init__()
        require_reduction(reduction)
        self.chosen, self.reduction = stages, reduction
        self.embeddings = nn.ModuleList()

    def check(self, setting: Setting) -> None:
        stage_pairs(setting, self.chosen)

    def build(self, setting: Setting) -> None:
        self._pairs = stage_pairs(setting, self.chosen)
        ours, theirs = setting.student.stages, setting.teacher_output.stages
        self.embeddings = nn.ModuleList(Embedding(ours[a - 1].shape[1], theirs[b - 1].shape[1]) for a, b in self._pairs)

    def forward(self, step: Step) -> dict[str, Tensor]:
        pairs = zip(self.embeddings, paired_stages(step, self._pairs), strict=True)
        return {"ickd": reduce([inter_channel(embed(ours), theirs) for embed, (ours, theirs) in pairs], self.reduction)}


def inter_channel(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull the correlations between a student's channels towards those between the teacher's.

    mean over b of (sum over c, d of (g[c, d] / ||g[c]||_2 - the teacher's) ** 2) / C,
    g[c, d] = sum over h, w of f[c] * f[d]

    Args:
        student: Feature map, [B, C, H1, W1], or what an embedding made of it.
        teacher: Feature map of the same pictures, [B, C, H2, W2]; receives no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision maps.
    Raises:
        ValueError: If a map is not 4-D or is empty, or batch sizes or numbers of channels differ.
    Source: Liu et al., "Exploring Inter-Channel Correlation for Diversity-preserved Knowledge Distillation", ICCV 2021;
        Cifar100/distiller_zoo/ICKD.py of ICKD at 403b8d3.
    """
    require_maps("inter_channel", student, teacher)
    require_same_batch("inter_channel", student, teacher)
    if student.shape[1] != teacher.shape[1]:
        raise ValueError(
            f"inter_channel compares channels one by one; the student has {student.shape[1]} and the teacher "
            f"{teacher.shape[1]}. Put an Embedding between networks of different widths."
        )
    differences = _correlations(student) - _correlations(teacher.detach())
    return differences.square().sum(dim=2).mean()


class Embedding(nn.Module):
    """The connector, trained together with the student: a 1x1 convolution without bias, and batch norm.

    The source makes one for the teacher too, gives it to the optimiser, and never uses it; there is none here.

    Args:
        student, teacher: Numbers of channels.
    Source: Cifar100/distiller_zoo/ICKD.py of ICKD at 403b8d3.
    """

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(student, teacher, kernel_size=1, bias=False)
        self.l2norm = nn.BatchNorm2d(teacher)  # the source's name

    def forward(self, features: Tensor) -> Tensor:
        """Turn [B, C1, H, W] into [B, C2, H, W]."""
        return self.l2norm(self.conv2d(features))  # type: ignore[no-any-return]


def _correlations(maps: Tensor) -> Tensor:
    """Return how each channel correlates with each, [B, C, C]: rows of norm 1."""
    rows = in_float32(maps).flatten(2)
    with without_autocast(rows):
        return unit_vectors(rows @ rows.mT)

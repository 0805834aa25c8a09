"""Be your own teacher (BYOT): the kd_mode, the heads that it puts on stages, and the pure functions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, require_logits, require_temperature, require_vectors, shape_of


class BeYourOwnTeacher(DistillMode):
    """Classifiers on shallow stages learn the labels, and what the deepest one, the student's own, says.

    Its terms are sums over the heads: their cross-entropy (`byot_heads`), their soft targets (`byot_soft`) and how far
    their features are from the student's last ones (`byot_feature`). The heads alone, without distillation, are the
    control: with the weights of the other two at 0. The heads are trained along, and are no part of the student, which
    is judged without them.

    Args:
        temperature: The temperature of the soft targets.
        stages: Which stages get a head, counted from 1; None takes all but the last. The source's network has four
            stages and so three heads.
    """

    terms = ("byot_heads", "byot_soft", "byot_feature")

    def __init__(self, temperature: float = 3.0, stages: Sequence[int] | None = None) -> None:
        super().__init__()
        require_temperature(temperature)
        self.temperature, self.chosen = temperature, stages
        self.heads = nn.ModuleList()

    def check(self, setting: Setting) -> None:
        self._stages(setting)
        vectors = setting.student.pooled
        if vectors.ndim != 2 or vectors.shape[1] < 4:
            raise ValueError(
                f"a head narrows to a quarter of the pooled width, so that must be at least 4; the student's pooled "
                f"features have shape {shape_of(vectors)}. Use a wider network."
            )

    def build(self, setting: Setting) -> None:
        maps, width = setting.student.stages, setting.student.pooled.shape[1]
        self._chosen = self._stages(setting)
        self.heads = nn.ModuleList(
            Head(maps[stage - 1].shape[1:], maps[-1].shape[2:], width, setting.classes) for stage in self._chosen
        )

    def forward(self, step: Step) -> dict[str, Tensor]:
        output = step.student
        seen = [head(output.stages[stage - 1]) for head, stage in zip(self.heads, self._chosen, strict=True)]
        computed: dict[str, list[Tensor]] = {}
        if "byot_heads" in self.active:
            computed["byot_heads"] = [F.cross_entropy(in_float32(logits), step.labels) for logits, _ in seen]
        if "byot_soft" in self.active:
            computed["byot_soft"] = [soft_cross_entropy(logits, output.logits, self.temperature) for logits, _ in seen]
        if "byot_feature" in self.active:
            computed["byot_feature"] = [active_distance(features, output.pooled) for _, features in seen]
        return {term: torch.stack(values).sum() for term, values in computed.items()}

    def _stages(self, setting: Setting) -> Sequence[int]:
        count = len(setting.student.stages)
        chosen = list(range(1, count)) if self.chosen is None else list(self.chosen)
        if not chosen or chosen != sorted(set(chosen)) or not 1 <= chosen[0] <= chosen[-1] <= count:
            raise ValueError(
                f"stages={chosen} must name each stage that gets a head once, shallow to deep, out of 1 to {count}."
            )
        return chosen


def soft_cross_entropy(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Pull a head's softened class probabilities towards those of the deepest classifier.

    T^2 * mean over b of sum over k of -q[b, k] * log p[b, k], p = softmax(student / T), q = softmax(teacher / T)

    This has the gradient of soft targets; their value is less by the entropy of q, a constant.

    Args:
        student_logits: The head's class scores, [B, K].
        teacher_logits: The deepest classifier's, [B, K]; they receive no gradient.
        temperature: T > 0.
    Returns:
        Unweighted scalar, float32 for half-precision scores.
    Raises:
        ValueError: If the scores are not [B, K] of one shape, or the temperature is not finite and above 0.
    Source: Zhang et al., "Be Your Own Teacher", ICCV 2019; kd_loss_function (train.py of
        pytorch-be-your-own-teacher at 8045079).
    """
    require_logits("soft_cross_entropy", student_logits, teacher_logits)
    require_temperature(temperature)
    log_p = F.log_softmax(in_float32(student_logits) / temperature, dim=1)
    q = F.softmax(in_float32(teacher_logits.detach()) / temperature, dim=1)
    return -(q * log_p).sum(dim=1).mean() * temperature**2


def active_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull a head's features towards the deepest ones, wherever one of the two is active.

    sum over b and d of (s[b, d] - t[b, d]) ** 2, where s[b, d] > 0 or t[b, d] > 0

    It is a sum over the batch as well, so it grows with the batch size: the published weight, 1e-6, is for 128.

    Args:
        student: The head's features, [B, D].
        teacher: The deepest ones, [B, D]; they receive no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision features.
    Raises:
        ValueError: If the features are not [B, D] of one shape.
    Source: As of `soft_cross_entropy`; feature_loss_function.
    """
    require_vectors("active_distance", student, teacher)
    if student.shape != teacher.shape:
        raise ValueError(
            f"active_distance compares features of one width; got shapes {shape_of(student)} and {shape_of(teacher)}."
        )
    ours, theirs = in_float32(student), in_float32(teacher.detach())
    return (ours - theirs).square().masked_fill((ours <= 0) & (theirs <= 0), 0.0).sum()


class Head(nn.Module):
    """A classifier on a shallow stage: a bottleneck down to the size of the last stage, the mean, a linear layer.

    1x1 to a quarter of the width, k x k with stride k, 1x1 to the width, each with batch norm and ReLU; k is how many
    times larger the stage is than the last, rounded down where that is no whole number.

    Args:
        maps: Channels, rows and columns of the stage.
        last: Rows and columns of the last stage.
        width: The width of the features that are compared, those of the student's classifier.
        classes: Number of classes.
    Source: branchBottleNeck and middle_fc (models/resnet.py of pytorch-be-your-own-teacher at 8045079).
    """

    def __init__(self, maps: Sequence[int], last: Sequence[int], width: int, classes: int) -> None:
        super().__init__()
        channels, middle = maps[0], width // 4
        kernel = (max(maps[1] // last[0], 1), max(maps[2] // last[1], 1))
        self.bottleneck = nn.Sequential(
            *_layer(nn.Conv2d(channels, middle, 1)),
            *_layer(nn.Conv2d(middle, middle, kernel, stride=kernel)),
            *_layer(nn.Conv2d(middle, width, 1)),
        )
        self.fc = nn.Linear(width, classes)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return class scores [B, K] and features [B, D] of a stage [B, C, H, W]."""
        features = self.bottleneck(maps).mean(dim=(2, 3))
        return self.fc(features), features


def _layer(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()

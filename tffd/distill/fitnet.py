"""FitNets' hints: the kd_mode, the loss, and the connector that makes a student's map comparable with a teacher's."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from tffd.distill.base import DistillMode, Setting, Step
from tffd.tensors import in_float32, shape_of


class FitNet(DistillMode):
    """One stage of the student becomes like the teacher's; see `hint`.

    Args:
        stage: Which, counted from 1 in both networks; None takes the last of each.
        connector: Whether a `Regressor` stands between them, as networks of different shapes need.
    """

    terms = ("fitnet",)
    needs_teacher = True

    def __init__(self, stage: int | None = 2, connector: bool = True) -> None:
        super().__init__()
        self.stage, self.has_connector = stage, connector
        self.connector: nn.Module = nn.Identity()

    def check(self, setting: Setting) -> None:
        ours, theirs = self._maps(setting.student.stages), self._maps(setting.teacher_output.stages)
        if self.has_connector:
            Regressor(ours.shape[1:], theirs.shape[1:])
        elif ours.shape != theirs.shape:
            raise ValueError(
                f"without a connector both maps must have one shape; the student's is {shape_of(ours)[1:]} and the "
                f"teacher's {shape_of(theirs)[1:]}. Set connector=true."
            )

    def build(self, setting: Setting) -> None:
        if self.has_connector:
            ours, theirs = self._maps(setting.student.stages), self._maps(setting.teacher_output.stages)
            self.connector = Regressor(ours.shape[1:], theirs.shape[1:])

    def forward(self, step: Step) -> dict[str, Tensor]:
        ours, theirs = self._maps(step.student.stages), self._maps(step.teacher_output.stages)
        return {"fitnet": hint(self.connector(ours), theirs)}

    def _maps(self, stages: Sequence[Tensor]) -> Tensor:
        stage = len(stages) if self.stage is None else self.stage
        if not 1 <= stage <= len(stages):
            raise ValueError(f"stage={stage} is none of the stages 1 to {len(stages)} of both networks.")
        return stages[stage - 1]


def hint(student: Tensor, teacher: Tensor) -> Tensor:
    """Pull a student's features, or what a connector made of them, towards a teacher's.

    mean((student - teacher) ** 2) over all elements

    Args:
        student: Features, such as a map [B, C, H, W].
        teacher: Features of the same shape, of the same pictures; they receive no gradient.
    Returns:
        Unweighted scalar, float32 for half-precision features.
    Raises:
        ValueError: If the shapes differ or the features are empty.
    Source: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015; distiller_zoo/FitNet.py of RepDistiller at
        b84f547 (behind a connector), kd_losses/fitnet.py of Knowledge-Distillation-Zoo at 65470c8 (without one).
    """
    ours, theirs = shape_of(student), shape_of(teacher)
    if ours != theirs:
        raise ValueError(
            f"hint compares features number by number, so both must have one shape; the student's is {ours} and the "
            f"teacher's {theirs}. Pass one batch, and put a Regressor between networks of different shapes."
        )
    if student.numel() == 0:
        raise ValueError(f"hint needs features that are not empty; got shape {ours}.")
    return F.mse_loss(in_float32(student), in_float32(teacher.detach()))


class Regressor(nn.Module):
    """The connector of hints, trained together with the student: convolution, batch norm, ReLU.

    The convolution gives the teacher's channels and size:

    - a student's map twice as large: 3x3, stride 2, padding 1;
    - a student's map half as large: transposed 4x4, stride 2, padding 1;
    - otherwise, for a student's map that is as large or larger: (1 + H1 - H2) x (1 + W1 - W2) without padding, which
      is 1x1 for equal sizes.

    The reference decides by the rows alone; here rows and columns must agree. The convolution has a bias, as there,
    though the batch norm takes it out again. The weights start as PyTorch draws them.

    Args:
        student: Channels, rows and columns of the student's map, (C1, H1, W1).
        teacher: Those of the teacher's, (C2, H2, W2).
    Raises:
        ValueError: If a shape is not of three positive numbers, or no such convolution leads from one to the other.
    Source: ConvReg (models/util.py of RepDistiller at b84f547).
    """

    def __init__(self, student: Sequence[int], teacher: Sequence[int]) -> None:
        super().__init__()
        self.conv = _convolution(_three(student), _three(teacher))
        self.bn = nn.BatchNorm2d(teacher[0])

    def forward(self, features: Tensor) -> Tensor:
        """Turn the student's map [B, C1, H1, W1] into one of the teacher's shape, [B, C2, H2, W2]."""
        return F.relu(self.bn(self.conv(features)), inplace=True)


def _three(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(
            f"Regressor needs a map's channels, rows and columns, each at least 1; got {tuple(shape)}. "
            "Leave the batch size out."
        )
    channels, rows, columns = shape
    return channels, rows, columns


def _convolution(student: tuple[int, int, int], teacher: tuple[int, int, int]) -> nn.Module:
    (inputs, height, width), (outputs, rows, columns) = student, teacher
    if (height, width) == (2 * rows, 2 * columns):
        return nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1)
    if (2 * height, 2 * width) == (rows, columns):
        return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)
    if height >= rows and width >= columns:
        return nn.Conv2d(inputs, outputs, kernel_size=(1 + height - rows, 1 + width - columns))
    raise ValueError(
        f"Regressor takes a student's map that is at least as large as the teacher's, or half as large; the student's "
        f"is {height}x{width} and the teacher's {rows}x{columns}. Choose another pair of stages."
    )

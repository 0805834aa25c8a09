"""What a kd_mode is given, and what it has to say of itself: the whole interface between modes and training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from tffd.data import Partner
from tffd.models import ModelOutput


@dataclass(frozen=True)
class Networks:
    """The networks of a run, for modes that show them pictures of their own.

    Attributes:
        student: The student, in train mode.
        teacher: The teacher, in eval mode and without gradients of its own; None where no mode needs one.
    """

    student: nn.Module
    teacher: nn.Module | None


@dataclass(frozen=True)
class Step:
    """The data of one training step.

    Attributes:
        inputs: Normalised and augmented pictures, [B, C, H, W]; they require gradients where the mode asks for that.
        labels: Classes, [B].
        index: Place of each picture among the run's training pictures, [B].
        epoch: The epoch, counted from 1.
        draw: Seed of this step's random numbers, made of the run's seed, the epoch and the step, so that a resumed run
            and one on another device draw the same.
        student: What the network in training returned for the inputs.
        teacher: What the teacher returned for them; None where no mode needs one.
        partner: Other pictures [B, C, H, W] of the same classes, where the mode asks for them (`partner`).
        networks: Both networks.
        repeated: How many of the pictures, at the beginning, are those of the step before; 0 unless the mode asks for
            them (`partner`).
    """

    inputs: Tensor
    labels: Tensor
    index: Tensor
    epoch: int
    draw: int
    student: ModelOutput
    teacher: ModelOutput | None
    partner: Tensor | None
    networks: Networks
    repeated: int = 0

    @property
    def teacher_output(self) -> ModelOutput:
        """The teacher's output in a mode that declared that it needs one."""
        if self.teacher is None:
            raise ValueError("this kd_mode needs a teacher; set needs_teacher in its class.")
        return self.teacher


@dataclass(frozen=True)
class Setting:
    """What a run looks like before it starts: shapes and counts from which a mode builds its trainable parts.

    Attributes:
        student: What the network returns for two pictures: shapes without values (tensors on the meta device).
        teacher: The same of the teacher; None where there is none.
        classes: Number of classes.
        pictures: Number of training pictures.
        epochs: Length of the run.
        new_student: Builds another network like the student, with weights of its own.
        labels: Class of each training picture, [pictures]; None in `check`, before the pictures have been read.
        teacher_network: The teacher's layers, without values (on the meta device); None where they are not known.
    """

    student: ModelOutput
    teacher: ModelOutput | None
    classes: int
    pictures: int
    epochs: int
    new_student: Callable[[], nn.Module]
    labels: Tensor | None = None
    teacher_network: nn.Module | None = None

    @property
    def teacher_output(self) -> ModelOutput:
        """The teacher's shapes in a mode that declared that it needs one."""
        if self.teacher is None:
            raise ValueError("this kd_mode needs a teacher; choose one, such as teacher=auto.")
        return self.teacher


@dataclass(frozen=True)
class FirstStage:
    """Epochs before the run proper, on a loss of the mode's own and without cross-entropy.

    Terms that the mode also has in the run proper have their weights here too; others count once.

    Attributes:
        epochs: How many. They do not count as epochs of the run.
        lr_factor: Times the trainer's learning rate.
        milestones: Fractions of this stage after which the rate drops by the trainer's gamma.
        student: Whether the student is trained too; otherwise the mode's own parts alone are.
        only: Whether the mode takes part in this stage alone; the run proper then goes on without it.
        decay_all: Whether weight decay acts on all of the student, its classifier too; otherwise what the loss does not
            reach stays as it is.
        keep_momentum: Whether the run proper goes on with this stage's optimiser; otherwise it begins with a new one.
    """

    epochs: int
    lr_factor: float = 1.0
    milestones: tuple[float, ...] = ()
    student: bool = True
    only: bool = False
    decay_all: bool = False
    keep_momentum: bool = False


After = Literal["none", "keep"]
"""What becomes of a mode's terms after its first stage: the run proper is without them, or has them too."""

Decay = Literal["reached", "all"]
"""On what weight decay acts in a first stage: the parameters that its loss reaches, or all of the student's."""

Momentum = Literal["new", "keep"]
"""The run proper begins without the momentum of the first stage, or goes on with it."""


def initialisation(
    epochs: int,
    lr_factor: float,
    milestones: Sequence[float],
    after: After,
    decay: Decay = "reached",
    momentum: Momentum = "new",
) -> FirstStage | None:
    """Return the first stage of a mode that trains the student before the run proper; None for 0 epochs.

    RepDistiller (helper/pretrain.py) gives an optimiser of its own the layers that make maps: decay "reached", momentum
    "new". Knowledge-Distillation-Zoo (train_init in train_kd.py) has one optimiser of the student for both stages, and
    adds 0 times cross-entropy, whose gradients of 0 let weight decay shrink the classifier: "all", "keep".

    Raises:
        ValueError: If an option is not valid, or the mode would take part nowhere.
    """
    if epochs < 0 or lr_factor <= 0 or not all(0 < fraction < 1 for fraction in milestones):
        raise ValueError(
            "a first stage has 0 epochs or more, a factor of the learning rate above 0, and milestones between 0 and "
            f"1; got {epochs}, {lr_factor} and {list(milestones)}."
        )
    for name, value, known in (("after", after, After), ("decay", decay, Decay), ("momentum", momentum, Momentum)):
        if value not in get_args(known):
            raise ValueError(f"{name} must be one of {', '.join(get_args(known))}; got {value!r}.")
    if epochs == 0 and after == "none":
        raise ValueError(
            "without a first stage nothing would be learnt with after=none. Set first_stage_epochs above 0, or "
            "after=keep."
        )
    if epochs == 0:
        return None
    return FirstStage(
        epochs, lr_factor, tuple(milestones), only=after == "none", decay_all=decay == "all",
        keep_momentum=momentum == "keep",
    )  # fmt: skip


class DistillMode(nn.Module, ABC):
    """One kd_mode: it returns unweighted terms; their weights are the config's affair.

    Its own parameters (connectors, heads, a peer network) are trained together with the student, its buffers (memory
    banks, tables) are kept in checkpoints; both are made in `build`.
    """

    terms: ClassVar[tuple[str, ...]]
    """Names of the terms that `forward` returns: columns of metrics.csv, keys of `weights` in the YAML."""

    needs_teacher: ClassVar[bool] = False
    """Whether it cannot work without a teacher."""

    free_terms: ClassVar[tuple[str, ...]] = ()
    """Those terms that need none, in a mode that does for the others."""

    input_gradient: ClassVar[bool] = False
    """Whether it differentiates with respect to the pictures, through the student and the teacher."""

    partner: ClassVar[Partner | None] = None
    """Pictures beside the batch: "same_class", another of each class, in `Step.partner`; "previous", each batch begins
    with the pictures of the one before, augmented anew."""

    compiles: ClassVar[bool] = True
    """False for a second backward pass or sizes that depend on the data, which torch.compile cannot take."""

    captures: ClassVar[bool]
    """Whether a CUDA graph may hold its steps; by default for modes of this library alone. It may where a step leaves
    nothing behind but in tensors changed in place, and goes by nothing that is no tensor, such as `Step.epoch`."""

    first_stage: FirstStage | None = None
    """What is trained before the run proper, on the terms of `first_stage_terms`."""

    active: tuple[str, ...]
    """Those terms whose weight is not 0; the others need not be computed."""

    def __init__(self) -> None:
        super().__init__()
        self.active = self.terms

    @classmethod
    def needs_teacher_for(cls, terms: Collection[str]) -> bool:
        """Tell whether some of its terms cannot be computed without a teacher."""
        return cls.needs_teacher and not set(terms) <= set(cls.free_terms)

    def check(self, setting: Setting) -> None:
        """Raise ValueError if the mode cannot work on such networks; nothing has been built yet."""

    def build(self, setting: Setting) -> None:
        """Make the trainable parts and buffers, on the CPU; random numbers come from the run's seed."""

    @abstractmethod
    def forward(self, step: Step) -> dict[str, Tensor]:
        """Return the active terms of a batch by name: unweighted scalars."""

    def first_stage_terms(self, step: Step) -> dict[str, Tensor]:
        """Return what the first stage minimises: the weighted sum of these scalars; see `FirstStage`."""
        return self(step)  # type: ignore[no-any-return]

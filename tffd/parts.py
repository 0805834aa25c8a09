"""What a network and a kd_mode must have, the library's and your own; see docs/extending.md.

A config names them by `_target_`. Each is looked at before anything is trained: by its names here, and where it is your
own by one step on made-up pictures (`tffd.rehearsal`). What it lacks is said with its name.
"""

from collections.abc import Collection
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from tffd.blaming import lacking_names
from tffd.data import Partner
from tffd.distill.base import FirstStage, Setting, Step
from tffd.models import ModelOutput


class Network(Protocol):
    """A `torch.nn.Module` for `model` and `teacher`.

    It is made with `num_classes`, `in_channels` and the keys of its section: `name` is one of them, `weights` is not,
    for they are loaded from outside.
    """

    def forward(self, inputs: Tensor) -> ModelOutput:
        """Return logits [B, K], stages, preacts, stem and pooled for normalised pictures [B, C, H, W].

        `stages` has at least one map [B, C, H, W], and the scores are computed from them. `preacts` has as many, of
        the same shapes, or none: then modes that compare maps before a ReLU are refused. Tensors may be meta tensors.
        """
        ...


class Mode(Protocol):
    """A kd_mode: a `torch.nn.Module`. `tffd.distill.DistillMode` has all of this but `terms` and `forward`.

    It may have `captures`, as a network may: see `DistillMode`.
    """

    terms: ClassVar[tuple[str, ...]]
    needs_teacher: ClassVar[bool]
    free_terms: ClassVar[tuple[str, ...]]
    input_gradient: ClassVar[bool]
    partner: ClassVar[Partner | None]
    compiles: ClassVar[bool]
    first_stage: FirstStage | None

    @classmethod
    def needs_teacher_for(cls, terms: Collection[str]) -> bool:
        """Tell whether some of its terms cannot be computed without a teacher."""
        ...

    def check(self, setting: Setting) -> None:
        """Raise ValueError if the mode cannot work on such networks."""
        ...

    def build(self, setting: Setting) -> None:
        """Make its own trainable parts, and buffers."""
        ...

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Return a scalar for each of the terms that count (`active`), not weighted."""
        ...

    def first_stage_terms(self, step: Step) -> dict[str, Tensor]:
        """Return what a first stage minimises."""
        ...


def require_network(target: str, network: Any) -> None:
    """Refuse what is no network.

    Raises:
        ValueError: Naming it and what it lacks.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"{target}: made a {type(network).__name__}; a network is a torch.nn.Module")
    if type(network).forward is nn.Module.forward:
        raise ValueError(f"{target}: lacks forward; see tffd.parts.Network")


def require_output(target: str, output: Any, classes: int, pictures: int) -> None:
    """Refuse what a network may not return for some pictures.

    Raises:
        ValueError: Naming the network and what is wrong.
    """
    if not isinstance(output, ModelOutput):
        raise ValueError(
            f"{target}: returned a {type(output).__name__}; a network returns a tffd.models.ModelOutput of "
            f"{', '.join(ModelOutput._fields)}"
        )
    shapes = {name: _shapes(value) for name, value in output._asdict().items()}
    wanted = f"[{pictures}, {classes}]"
    if shapes["logits"] != (pictures, classes):
        raise ValueError(f"{target}: logits are {_shown(shapes['logits'])}, and should be {wanted}: a row a picture")
    maps = shapes["stages"]
    if not isinstance(maps, list) or not maps or not all(len(m) == 4 and m[0] == pictures for m in maps):
        raise ValueError(f"{target}: stages are {_shown(maps)}, and should be at least one map [{pictures}, C, H, W]")
    if shapes["preacts"] not in ([], maps):
        raise ValueError(
            f"{target}: preacts are {_shown(shapes['preacts'])}, and should have the shapes of the stages, "
            f"{_shown(maps)}, or be empty: ()"
        )
    for name, dimensions, axes in (("stem", 4, "C, H, W"), ("pooled", 2, "D")):
        if len(shapes[name] or ()) != dimensions or shapes[name][0] != pictures:
            raise ValueError(f"{target}: {name} is {_shown(shapes[name])}, and should be [{pictures}, {axes}]")


def require_mode(target: str, mode: Any) -> None:
    """Refuse what is no class of a kd_mode.

    Raises:
        ValueError: Naming it and what it lacks.
    """
    instead = "derive it from tffd.distill.DistillMode, which has all but terms and forward"
    if not isinstance(mode, type) or not issubclass(mode, nn.Module):
        raise ValueError(f"{target}: is no class of torch.nn.Module; {instead}")
    abstract = getattr(mode, "__abstractmethods__", ())
    if lacking := lacking_names(mode, Mode, also=abstract, inherited=nn.Module):
        raise ValueError(f"{target}: lacks {lacking}; {instead}")
    terms = mode.terms  # type: ignore[attr-defined]  # it has them, as was seen
    if not isinstance(terms, tuple) or not terms or not all(isinstance(term, str) and term for term in terms):
        raise ValueError(f"{target}: terms={terms!r}, and should be a tuple of names, such as ('ours',)")


def require_terms(target: str, terms: Any, active: Collection[str]) -> None:
    """Refuse what `forward` of a mode may not return.

    Raises:
        ValueError: Naming the mode and the term.
    """
    if not isinstance(terms, dict):
        raise ValueError(f"{target}: forward returned a {type(terms).__name__}, and should a dict of terms")
    for name in active:
        if name not in terms:
            raise ValueError(f"{target}: forward returned no term {name}; there are {', '.join(terms) or 'none'}")
    for name, term in terms.items():
        if name not in active:
            raise ValueError(f"{target}: forward returned {name}, which is none of the terms that count: self.active")
        if not isinstance(term, Tensor) or term.dim() != 0:
            shown = _shown(_shapes(term)) if isinstance(term, Tensor) else type(term).__name__
            raise ValueError(f"{target}: its term {name} is {shown}, and should be a scalar tensor: a mean, or a sum")


def _shapes(value: Any) -> Any:
    """The shape of a tensor, or of each in a sequence; None for anything else."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    return [_shapes(one) or () for one in value] if isinstance(value, list | tuple) else None


def _shown(shapes: Any) -> str:
    if isinstance(shapes, list):
        return ", ".join(map(_shown, shapes)) or "()"
    return "no tensor" if shapes is None else str(list(shapes))

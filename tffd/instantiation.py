"""From a section of a config to the object that its `_target_` names, or to what can be told without building it."""

import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_type_hints

from hydra.errors import HydraException, InstantiationException
from hydra.utils import get_object, instantiate
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from tffd.blaming import blaming, is_own
from tffd.data import Source, content_of, digest_content
from tffd.refusal import CompositionError
from tffd.remembered import recall, remember
from tffd.schema import Component, Config, KdModeSection
from tffd.source_faults import require_source
from tffd.trust import trusted_targets

if TYPE_CHECKING:
    from tffd.distill import Distillation, DistillMode

WEIGHING = {"weights", "cross_entropy", "warmup_epochs"}
"""What a kd_mode's section holds beside the arguments of its class."""


def build_source(config: Config) -> Source:
    """Instantiate the data source."""
    source: Source = make_object(config.dataset.source)
    require_source(config.dataset.source.target, source)
    return source


def data_content(config: Config) -> str:
    """What the data of a run is; see `tffd.data.content_of`."""
    return content_of(build_source(config), config.dataset.cache)


def data_digest(config: Config) -> str:
    """The digest of a data set's content, 12 hexadecimal digits."""
    return digest_content(data_content(config))


def build_distillation(config: Config) -> "Distillation":
    """Instantiate the kd_modes, without the parts that depend on the networks.

    Raises:
        CompositionError: If they do not go together.
    """
    from tffd.distill import Distillation, Weighing

    modes: dict[str, DistillMode] = {}
    faults: list[str] = []
    for name, section in config.kd_mode.items():
        try:
            modes[name] = _make_mode(section)
        except (InstantiationException, ValueError, TypeError) as error:
            faults.append(f"kd_mode={name}: {str(error).strip().splitlines()[0]}")
    weighing = {
        name: Weighing(section.weights, section.cross_entropy, section.warmup_epochs)
        for name, section in config.kd_mode.items()
    }
    try:
        distillation = Distillation(modes, weighing)
    except CompositionError as error:
        raise CompositionError([*faults, *error.faults]) from error
    if faults:
        raise CompositionError(faults)
    return distillation


def _make_mode(section: KdModeSection) -> "DistillMode":
    from tffd.parts import require_mode

    try:
        mode: DistillMode = make_object(section, WEIGHING)
    except (InstantiationException, ValueError, TypeError):
        with suppress(ImportError):
            _class_of(section)  # says what a class lacks that cannot be made
        raise
    require_mode(section.target, type(mode))
    return mode


def uses_teacher(config: Config) -> bool:
    """Tell whether a run learns from its teacher; if no kd_mode needs one, a teacher that is named is idle."""
    return config.teacher.target is not None and needs_teacher(config)


def needs_teacher(config: Config) -> bool:
    """Tell whether a kd_mode whose terms count needs a teacher.

    The classes say so, and importing those of the library takes two seconds, so what they say is remembered.
    """
    counting = _counting(config)
    known = None
    if "torch" not in sys.modules and not any(is_own(section.target) for section in counting):
        known = recall(config.dataset.cache, _question_of(counting))
    return _ask_for_teacher(counting) if known is None else known


def keep_needs_teacher(config: Config) -> None:
    """Remember whether the library's kd_modes of a config need a teacher."""
    counting = _counting(config)
    if recall(config.dataset.cache, _question_of(counting)) is None:
        remember(config.dataset.cache, _question_of(counting), _ask_for_teacher(counting))


def _counting(config: Config) -> list[KdModeSection]:
    return [section for section in config.kd_mode.values() if section.counts]


def _question_of(counting: Iterable[KdModeSection]) -> dict[str, Any]:
    return {"is": "taught", "modes": [[section.target, sorted(_active(section))] for section in counting]}


def _ask_for_teacher(counting: Iterable[KdModeSection]) -> bool:
    return any(_class_of(section).needs_teacher_for(_active(section)) for section in counting)


def _active(section: KdModeSection) -> list[str]:
    return [term for term, weight in section.weights.items() if weight]


def _class_of(section: KdModeSection) -> "type[DistillMode]":
    from tffd.parts import require_mode

    mode: type[DistillMode] = get_object(section.target)
    require_mode(section.target, mode)
    return mode


def make_object(section: Component, without: Collection[str] = (), **arguments: Any) -> Any:
    """Instantiate a section once its arguments were found to have the types that its class asks for.

    Args:
        section: Names a class and some of its arguments.
        without: Keys of the section that are no arguments of the class.
        arguments: Those that no config holds.
    Raises:
        ValueError: If an argument is of another type.
    """
    own = {key: value for key, value in section.arguments().items() if key not in without}
    _require_types(section.target, own)
    return instantiate_trusted(own, **arguments)


def instantiate_trusted(section: dict[str, Any], **arguments: Any) -> Any:
    """Let Hydra instantiate a section, whose `_target_` may only name what `tffd.trust` allows."""
    with blaming(section["_target_"], "making it"):
        return instantiate(section, **arguments, _execution_whitelist_=trusted_targets())


def _require_types(target_name: str, arguments: dict[str, Any]) -> None:
    """Compare a section's arguments with the types of its class, which would fail somewhere inside on others.

    Raises:
        ValueError: With the first that does not fit.
    """
    try:
        target = get_object(target_name)
        types = get_type_hints(vars(target).get("__init__", target) if isinstance(target, type) else target)
    except (HydraException, ImportError, NameError, AttributeError):
        return  # instantiating it tells what is wrong, or it has no types
    for name, value in arguments.items():
        if name in types:
            try:
                TypeAdapter(types[name], config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
            except ValidationError as error:
                if error.errors()[0]["type"] == "literal_error":
                    continue  # its class names the choices
                reason = error.errors(include_url=False)[0]["msg"].removeprefix("Input ")
                raise ValueError(f"{name}={value}: {reason}") from None
            except PydanticUserError:
                continue  # a type that pydantic knows nothing of


def collect(action: Callable[[], Any], prefix: str = "") -> tuple[Any, list[str]]:
    """Return (result, []) or (None, [what the user got wrong])."""
    try:
        return action(), []
    except CompositionError as error:
        return None, [prefix + fault for fault in error.faults]
    # A TypeError: an argument that a target lacks; an ImportError: a target that is not there.
    except (InstantiationException, ImportError, ValueError, TypeError) as error:
        return None, [prefix + str(error).strip().splitlines()[0]]

"""The typed schema of a composed config. Its errors are collected, so that a user sees all faults at once."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from tffd.trust import find_distrust


class ConfigError(ValueError):
    """A config that cannot run, with every fault that was found.

    Attributes:
        faults: One line each: key, value and what to do.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        head = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(f"The configuration has {head}; nothing was started:\n  " + "\n  ".join(self.faults))


def _increasing_fractions(values: list[float]) -> list[float]:
    if values != sorted(set(values)) or any(not 0 < value < 1 for value in values):
        raise ValueError("needs increasing fractions of the run between 0 and 1, such as [0.625, 0.75, 0.875]")
    return values


def _file_name(value: str, longest: int = 200) -> str:
    """Directories are named after it; those of runs hold several names, and file systems take 255 bytes."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", value):
        raise ValueError("names a directory, so it takes letters, digits, and . _ + - after the first of them")
    if len(value) > longest:
        raise ValueError(f"names a directory, so it takes at most {longest} characters; it has {len(value)}")
    return value


def _part_of_a_file_name(value: str) -> str:
    return _file_name(value, longest=64)


def _from_0_to_1(values: list[float] | None) -> list[float] | None:
    if values is not None and not all(0 <= value <= 1 for value in values):
        raise ValueError("needs numbers from 0 (black) to 1 (white), such as 0.4914, not from 0 to 255")
    return values


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Choice = Annotated[str, BeforeValidator(str)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Label = Annotated[str, AfterValidator(_part_of_a_file_name)]

SMALLER_IS_BETTER = ("loss", "seconds", "memory_mb", "parameters")
"""How the names of those metrics end."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Component(BaseModel):
    """A section that `_target_` turns into an object; keys that are not named here are its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)
    target: str = Field(alias="_target_")

    def arguments(self) -> dict[str, Any]:
        """The section as Hydra's instantiate takes it."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class ModelSection(Component):
    name: Label
    weights: str | None = None


class KdModeSection(Component):
    """One kd_mode: what its class does not take itself is how much it counts.

    Attributes:
        weights: Of its terms; 0 means that a term is not computed.
        cross_entropy: Weight of cross-entropy; null leaves it at 1.
        warmup_epochs: Over which its terms are faded in; null: the trainer's.
    """

    weights: Annotated[dict[str, Weight], Field(min_length=1)]
    cross_entropy: Weight | None = None
    warmup_epochs: Annotated[int, Field(ge=0)] | None = None

    @property
    def counts(self) -> bool:
        """Whether any of its terms has a weight."""
        return any(self.weights.values())


class TeacherSection(BaseModel):
    """A network of the model group and where its weights come from.

    Attributes:
        checkpoint: A file of weights; "auto": they are trained first, where that has not been done.
        trainer: Settings of the trainer in which that training differs from the student's.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    target: str | None = Field(alias="_target_", default=None)
    name: Label
    checkpoint: str | None
    trainer: dict[str, Any] = {}
    weights: None = None

    @property
    def network(self) -> ModelSection:
        """The network as a model section has it, without weights."""
        return ModelSection.model_validate(self.model_dump(by_alias=True, exclude={"checkpoint", "trainer"}))


class AugmentSection(_Section):
    pad: Annotated[int, Field(ge=0)]
    flip: bool


class DatasetSection(_Section):
    name: Label
    root: str
    cache: str
    source: Component
    mean: Annotated[list[float] | None, AfterValidator(_from_0_to_1)]
    std: Annotated[list[Positive] | None, AfterValidator(_from_0_to_1)]
    train_size: Count | None
    val_fraction: Fraction
    augment: AugmentSection


class TrainerSection(_Section):
    name: str
    epochs: Count
    batch_size: Count
    lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: Weight
    milestones: Annotated[list[float], AfterValidator(_increasing_fractions)]
    gamma: Positive
    warmup_epochs: Annotated[int, Field(ge=0)]
    pad_mode: Literal["reflect", "zero"]
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    compile: bool
    checkpoint_every: Annotated[int, Field(ge=0)]
    eval_batch_size: Count | None

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "TrainerSection":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=true needs momentum above 0; set nesterov=false or momentum=0.9")
        return self


class ProtocolSection(_Section):
    name: str
    val_fraction: Fraction | None
    test: Literal["never", "last_epoch", "every_epoch"]
    split_seed: Seed

    @model_validator(mode="after")
    def _judged_on_something(self) -> "ProtocolSection":
        if self.val_fraction is None and self.test == "never":
            raise ValueError("val_fraction=null with test=never would judge a run on nothing; use protocol=validation")
        return self


Direction = Literal["maximize", "minimize"]


class SweepSection(_Section):
    space: dict[str, str]
    when: dict[str, dict[str, list[Choice]]]
    n_trials: Count
    n_jobs: Annotated[int, Field(ge=1, le=4096)] | None
    trials_per_device: Count
    objective: str | Annotated[list[str], Field(min_length=1)]
    direction: Direction | list[Direction]
    sampler: Component | None
    pruner: Component | None
    enqueue: list[dict[str, Any]]
    baseline: dict[str, str] | None
    seeds: Annotated[list[Seed], Field(min_length=2)] | None
    storage: str | None
    retries: Annotated[int, Field(ge=0)]
    trial_timeout: Positive | None
    max_failure_rate: Annotated[float, Field(ge=0, le=1)]
    heartbeat_timeout: Annotated[float, Field(ge=10, le=604800)]  # a week
    dry_run: bool

    @property
    def objectives(self) -> list[str]:
        """The objective, or the objectives."""
        return [self.objective] if isinstance(self.objective, str) else self.objective

    @property
    def directions(self) -> list[Direction]:
        """One for each objective."""
        return self.direction if isinstance(self.direction, list) else [self.direction]

    @model_validator(mode="after")
    def _directions_fit(self) -> "SweepSection":
        if len(self.directions) != len(self.objectives) or len(set(self.objectives)) < len(self.objectives):
            raise ValueError(
                f"objective={self.objective} with direction={self.direction}: needs different objectives and a "
                "direction for each, such as objective=[val_top1,train_seconds] with direction=[maximize,minimize]"
            )
        for objective, direction in zip(self.objectives, self.directions, strict=True):
            better = "minimize" if objective.endswith(SMALLER_IS_BETTER) else "maximize"
            if direction != better:
                raise ValueError(
                    f"objective={objective} with direction={direction} would choose the worst trial; "
                    f"set sweep.direction={better}"
                )
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> "SweepSection":
        if self.seeds is not None and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={self.seeds} names a seed twice; each may count once")
        return self


class AblationSection(_Section):
    grid: dict[str, str]
    beside: str | None = None  # for the grid to refer to


class Config(_Section):
    """A whole composed config, without Hydra's own node."""

    name: Annotated[str, AfterValidator(_file_name)]
    results_dir: str
    seed: Seed
    device: Literal["auto", "cpu", "cuda"]
    threads: Annotated[int, Field(ge=1, le=4096)] | None
    lambda_intra: Weight
    lambda_inter: Weight
    pair: dict[str, Weight]  # for the kd_modes to refer to
    model: ModelSection
    dataset: DatasetSection
    kd_mode: dict[str, KdModeSection]
    teacher: TeacherSection
    trainer: TrainerSection
    protocol: ProtocolSection
    sweep: SweepSection
    ablation: AblationSection

    @property
    def composition(self) -> str:
        """The names of the kd_modes in their order, such as "st+tfd"; "none" for the baseline."""
        return "+".join(sorted(self.kd_mode)) or "none"

    @property
    def term_weights(self) -> dict[str, float]:
        """The weight of each term of each kd_mode, by the term's name."""
        return {term: weight for _, mode in sorted(self.kd_mode.items()) for term, weight in mode.weights.items()}


@dataclass(frozen=True)
class Reading:
    """What the schema made of a composed config.

    Attributes:
        config: The typed config; None if it has faults.
        faults: One line each.
        values: The resolved plain values.
        sound: Those sections and keys that are without fault, typed, by name.
    """

    config: Config | None
    faults: list[str]
    values: dict[str, Any]
    sound: dict[str, Any]


def read_config(cfg: DictConfig) -> Reading:
    """Check a composed config against the schema, and that it may be acted on."""
    if distrust := find_distrust(cfg):
        return Reading(None, distrust, {}, {})
    try:
        values: Any = OmegaConf.to_container(without_hydra(cfg), resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        return Reading(None, [str(error).splitlines()[0]], {}, {})
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        faulty = {item["loc"][0] for item in error.errors(include_url=False)}
        sound = {
            name: TypeAdapter(field.rebuild_annotation()).validate_python(values[name])
            for name, field in Config.model_fields.items()
            if name not in faulty
        }
        return Reading(None, _describe(error), values, sound)
    return Reading(config, [], values, {name: getattr(config, name) for name in Config.model_fields})


def require_config(cfg: DictConfig) -> Config:
    """Return the typed config.

    Raises:
        ConfigError: If it does not fit the schema.
    """
    reading = read_config(cfg)
    if reading.config is None:
        raise ConfigError(reading.faults)
    return reading.config


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Return a copy without Hydra's own node, some of which only resolves while a job runs."""
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def _describe(error: ValidationError) -> list[str]:
    faults: dict[tuple[str, str, str], str] = {}
    for item in error.errors(include_url=False, include_context=False):
        key = ".".join(str(part) for part in item["loc"])
        match item["type"]:
            case "extra_forbidden":
                fault = f"{key}: no such key{_nearest(item['loc'])}"
            case "missing":
                fault = f"{key}: is missing{_none_instead(item['loc'])}"
            case "string_type" if isinstance(item["input"], int | float):
                fault = f"{key}={item['input']}: was read as a number, not as a text; quote it twice: \"{key}='...'\""
            case _:
                message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
                value = "" if isinstance(item["input"], dict) else f"={item['input']}"
                fault = f"{key}{value}: {message}"
        # A value that another section refers to under the same name is wrong once, where it is defined.
        name = str(item["loc"][-1]).removeprefix("lambda_")  # which the weights of the terms refer to
        faults.setdefault((name, item["msg"], str(item["input"])), fault)
    return list(faults.values())


def _section_at(location: tuple[int | str, ...]) -> Any:
    section: Any = Config
    for part in location:
        # A dictionary of sections, as of the kd_modes, has names of its own.
        section = get_args(section)[1] if get_origin(section) is dict else section.model_fields[str(part)].annotation
    return section


def _none_instead(location: tuple[int | str, ...]) -> str:
    """What `~key` was meant to do, where a key may have no value."""
    section = _section_at(location[:-1])
    field = next((field for name, field in section.model_fields.items() if (field.alias or name) == location[-1]), None)
    may_be_none = field is not None and type(None) in get_args(field.annotation)
    return f"; for none of it, set {'.'.join(map(str, location))}=null" if may_be_none else ""


def _nearest(location: tuple[int | str, ...]) -> str:
    section = _section_at(location[:-1])
    names = [field.alias or name for name, field in section.model_fields.items()]
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}"

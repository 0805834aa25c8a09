"""The sections of a config, typed: which keys there are, and which values each may have."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tffd.fields import (
    Choice,
    Count,
    Deviations,
    FileName,
    Fraction,
    Label,
    Means,
    Milestones,
    Positive,
    Seed,
    Weight,
    WholeNumber,
)

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
        weights: The weights of its terms; 0 means that a term is not computed.
        cross_entropy: Weight of cross-entropy; null leaves it at 1.
        warmup_epochs: Over which its terms are faded in; null: the trainer's.
    """

    weights: Annotated[dict[str, Weight], Field(min_length=1)]
    cross_entropy: Weight | None = None
    warmup_epochs: WholeNumber | None = None

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
    pad: WholeNumber
    flip: bool


class DatasetSection(_Section):
    name: Label
    root: str
    cache: str
    source: Component
    mean: Means
    std: Deviations
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
    milestones: Milestones
    gamma: Positive
    warmup_epochs: WholeNumber
    pad_mode: Literal["reflect", "zero"]
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    compile: bool
    cuda_graph: bool
    checkpoint_every: WholeNumber
    eval_batch_size: Count | None
    evaluate_every: Count

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
    weights: Annotated[float, Field(gt=1, le=1e6)] | None
    per_mode: bool
    baseline: dict[str, str] | None
    seeds: Annotated[list[Seed], Field(min_length=2)] | None
    storage: str | None
    retries: WholeNumber
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

    name: FileName
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

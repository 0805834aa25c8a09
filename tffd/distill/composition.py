"""A run's kd_modes together: their terms, with the weights that the config gives them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tffd.data import Partner
from tffd.distill.base import DistillMode, FirstStage, Setting, Step
from tffd.refusal import CompositionError
from tffd.schedule import kd_factor


@dataclass(frozen=True)
class Weighing:
    """How much a mode's terms count.

    Attributes:
        weights: The weights of its terms by name; those that are not named count 0.
        cross_entropy: Weight of cross-entropy that the mode brings along; None leaves it at 1.
        warmup_epochs: Over which its terms are faded in; None leaves that to the trainer.
    """

    weights: Mapping[str, float]
    cross_entropy: float | None = None
    warmup_epochs: int | None = None


class Distillation(nn.Module):
    """The modes of one run; none of them is the baseline.

    loss = c * cross-entropy + sum over modes of kd_factor(epoch) * (sum over terms of weight * term)

    Modes without a term that counts are left out. The others take part in the order of their names, so that [at,tfd]
    and [tfd,at] are one run to the last bit.

    Args:
        modes: The modes by name.
        weighing: How much each of them counts, by name.
    Raises:
        CompositionError: If a weight belongs to no term, two modes have a term of one name, weigh cross-entropy
            differently, ask for different partners, or both have a first stage.
    """

    def __init__(self, modes: Mapping[str, DistillMode], weighing: Mapping[str, Weighing]) -> None:
        super().__init__()
        faults = [fault for name, mode in modes.items() for fault in _absent_terms(name, mode, weighing[name].weights)]
        for name, mode in modes.items():
            mode.active = tuple(term for term in mode.terms if weighing[name].weights.get(term, 0.0) > 0)
        names = sorted(name for name, mode in modes.items() if mode.active)
        self.modes: Mapping[str, DistillMode] = nn.ModuleDict({name: modes[name] for name in names})  # type: ignore[assignment]
        chosen = [weighing[name] for name in names]
        self.weights: dict[str, tuple[str, float | Tensor]] = {
            term: (name, float(own.weights[term]))
            for name, own in zip(names, chosen, strict=True)
            for term in modes[name].active
        }
        faults += _shared_terms(self.modes)
        self.own_warmups = {
            name: own.warmup_epochs for name, own in zip(names, chosen, strict=True) if own.warmup_epochs is not None
        }
        weights = {name: weighing[name].cross_entropy for name in names}
        partners = {name: modes[name].partner for name in names}
        faults += [*_disagreement("cross_entropy", weights), *_disagreement("partner", partners)]
        self.cross_entropy: float | Tensor = next((weight for weight in weights.values() if weight is not None), 1.0)
        self.partner: Partner | None = next((partner for partner in partners.values() if partner is not None), None)
        staged = [modes[name] for name in names if modes[name].first_stage]
        if len(staged) > 1:
            faults.append(f"kd_mode=[{','.join(names)}]: {len(staged)} modes have a first stage; use one of them.")
        if faults:
            raise CompositionError(faults)
        self.staged: DistillMode | None = next(iter(staged), None)
        self.running = [name for name in names if not _is_over(modes[name])]

    @property
    def first_stage(self) -> FirstStage | None:
        """What is trained before the run proper."""
        return None if self.staged is None else self.staged.first_stage

    @property
    def needs_teacher(self) -> bool:
        """Whether a mode needs one."""
        return any(mode.needs_teacher_for(mode.active) for mode in self.modes.values())

    @property
    def asks_teacher(self) -> bool:
        """Whether a mode that takes part in the run proper needs one."""
        return any(self.modes[name].needs_teacher for name in self.running)

    @property
    def input_gradient(self) -> bool:
        """Whether a mode differentiates with respect to the pictures."""
        return any(mode.input_gradient for mode in self.modes.values())

    @property
    def uncompiled(self) -> list[str]:
        """Modes that torch.compile cannot take."""
        return [name for name, mode in self.modes.items() if not mode.compiles]

    def hold_weights(self, device: torch.device) -> None:
        """Keep the weights as tensors: numbers become part of what is compiled, which other weights could not use."""
        self.weights = {term: (name, _scalar(weight, device)) for term, (name, weight) in self.weights.items()}
        if self.cross_entropy != 1:
            self.cross_entropy = _scalar(self.cross_entropy, device)

    def check(self, setting: Setting) -> list[str]:
        """Return why modes cannot work in a setting: a line for each that cannot."""
        faults = []
        for name, mode in self.modes.items():
            try:
                mode.check(setting)
            except ValueError as error:
                faults.append(f"kd_mode={name}: {error}")
            except IndexError:
                faults.append(
                    f"kd_mode={name}: compares a stage, or a map before a ReLU (preacts), that a network does not have"
                )
        return faults

    def build(self, setting: Setting) -> None:
        """Make the trainable parts and buffers of all modes."""
        for mode in self.modes.values():
            mode.build(setting)

    def factors(self, epoch: int, warmup_epochs: int) -> dict[str, float]:
        """Return the warm-up factor of each mode in an epoch, counted from 1; the trainer's is the default."""
        return {name: kd_factor(epoch, self.own_warmups.get(name, warmup_epochs)) for name in self.modes}

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Return the unweighted terms of the modes that take part in the run proper, by name."""
        return {term: value for name in self.running for term, value in self.modes[name](step).items()}

    def weigh(self, cross_entropy: Tensor, terms: Mapping[str, Tensor], factors: Mapping[str, Tensor]) -> Tensor:
        """Return the loss to minimise.

        Args:
            factors: Warm-up factor of each mode: scalars on the device.
        """
        weight = self.cross_entropy
        loss = cross_entropy if isinstance(weight, float) and weight == 1 else weight * cross_entropy
        for name in self.running:
            own = [weight * terms[term] for term, (mode, weight) in self.weights.items() if mode == name]
            loss = loss + factors[name] * sum(own[1:], start=own[0])
        return loss

    def weigh_first_stage(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the loss to minimise before the run proper: a term that is none of the run's counts once."""
        weighted = [self.weights[term][1] * value if term in self.weights else value for term, value in terms.items()]
        return sum(weighted[1:], start=weighted[0])


def _scalar(weight: float | Tensor, device: torch.device) -> Tensor:
    return torch.as_tensor(weight, dtype=torch.float32, device=device)


def _is_over(mode: DistillMode) -> bool:
    """Tell whether a mode takes part before the run proper alone."""
    return mode.first_stage is not None and mode.first_stage.only


def _absent_terms(name: str, mode: DistillMode, weights: Mapping[str, float]) -> list[str]:
    there = ", ".join(mode.terms)
    absent = [term for term in weights if term not in mode.terms]
    return [f"kd_mode.{name}.weights.{term}: this mode has no such term; there are {there}." for term in absent]


def _shared_terms(modes: Mapping[str, DistillMode]) -> list[str]:
    owners: dict[str, list[str]] = {}
    for name, mode in modes.items():
        for term in mode.active:
            owners.setdefault(term, []).append(name)
    return [
        f"kd_mode=[{','.join(modes)}]: {' and '.join(names)} both have a term {term}; leave one of them out."
        for term, names in owners.items()
        if len(names) > 1
    ]


def _disagreement(what: str, values: Mapping[str, Any]) -> list[str]:
    """Say so where modes ask for different things; None asks for nothing."""
    asked = {name: value for name, value in values.items() if value is not None}
    if len(set(asked.values())) < 2:
        return []
    each = ", ".join(f"{name} {value}" for name, value in asked.items())
    return [f"kd_mode=[{','.join(values)}]: the modes ask for different things as {what}: {each}."]

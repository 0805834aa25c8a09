"""Variants measured turn and turn about, and what their figures come to: the one way in which benchmarks measure."""

import inspect
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch

from tffd.machine import cores, device_name

Sample = Mapping[str, float]
"""What one round of a variant gives: figures by the heading of their column."""

WALL, PROCESSOR = "s", "processor s"


class Unavailable(Exception):
    """The machine lacks what a benchmark is about; the message says what."""


@dataclass(frozen=True)
class Variant:
    """One of the things that a benchmark compares.

    Attributes:
        run: Takes the number of the round.
        base: The variant to which its ratios are taken; None for none.
    """

    run: Callable[[int], Sample]
    base: str | None = None


Variants = Mapping[str, Variant]


@dataclass(frozen=True)
class Benchmark:
    """How a group of variants is measured, and which of its figures hold on other machines.

    Attributes:
        variants: A generator that yields the variants once; its keyword arguments are the options.
        rounds: Of a full measurement.
        quick: Rounds of `--quick` and of `check`.
        ratios: Figures that are compared with those of a variant's base, each with the band (0.1 is 10 % either way)
            that `check` allows the ratio, or None where it only shows it.
        shares: Figures that are ratios by themselves, with their bands.
        warm_up: Whether a round before the first does not count.
        is_long: Whether `check` leaves it out unless it is named.
        needs_card: Whether it is about a GPU.
    """

    variants: Callable[..., Iterator[Variants]]
    rounds: int = 5
    quick: int = 3
    ratios: Mapping[str, float | None] = field(default_factory=dict)
    shares: Mapping[str, float | None] = field(default_factory=dict)
    warm_up: bool = False
    is_long: bool = False
    needs_card: bool = False

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.variants.__name__

    @property
    def options(self) -> dict[str, Any]:
        """Its options with their defaults."""
        return {name: option.default for name, option in inspect.signature(self.variants).parameters.items()}

    def measure(self, rounds: int, threads: int | None = None, **options: Any) -> dict[str, Any]:
        """Measure, and return what results.json holds of it.

        Args:
            threads: What is measured in this process computes with so many; None for as many as it has.
        Raises:
            Unavailable: If the machine lacks what it is about.
        """
        torch.set_num_threads(threads or torch.get_num_threads())
        where = conditions()
        with contextmanager(self.variants)(**options) as variants:
            samples = interleave(variants, rounds, self.warm_up)
            rows = {name: summarise(variants[name].base, samples, name, self.ratios) for name in variants}
        return {"options": options, "rounds": rounds, "conditions": where, "variants": rows}


def interleave(variants: Variants, rounds: int, warm_up: bool = False) -> dict[str, list[Sample]]:
    """Run every variant once a round, so that a machine whose speed drifts favours none of them.

    Every other round goes backwards: where one variant always came second, it was slower by 3 % for that alone.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in variants}
    if warm_up:
        for variant in variants.values():
            variant.run(0)
    for number in range(rounds):
        for name in list(variants)[:: (-1) ** number]:
            samples[name].append(variants[name].run(number))
    return samples


def summarise(
    base: str | None, samples: Mapping[str, Sequence[Sample]], name: str, ratios: Mapping[str, float | None]
) -> dict[str, Any]:
    """Return the spreads of a variant's figures, and of their ratios to its base's, taken round by round."""
    own = samples[name]
    row: dict[str, Any] = {"figures": {figure: spread([sample[figure] for sample in own]) for figure in own[0]}}
    if base is not None:
        pairs = list(zip(own, samples[base], strict=True))
        row["base"] = base
        compared = [figure for figure in own[0] if figure in ratios]
        row["ratios"] = {figure: spread([mine[figure] / other[figure] for mine, other in pairs]) for figure in compared}
    return row


def spread(values: Sequence[float]) -> list[float]:
    """Median, minimum and maximum, to four digits."""
    return [float(f"{number:.4g}") for number in (statistics.median(values), min(values), max(values))]


def timed(work: Callable[[], object]) -> Sample:
    """Return the seconds that some work takes in this process, and those of its processors."""
    started, busy = time.perf_counter(), time.process_time()
    work()
    return {WALL: time.perf_counter() - started, PROCESSOR: time.process_time() - busy}


def conditions() -> dict[str, Any]:
    """What figures depend on besides the code; no names of machines or directories."""
    card = {"card": torch.cuda.get_device_name(0)} if torch.cuda.is_available() else {}
    return {
        "processor": device_name(torch.device("cpu")).removeprefix("cpu (").removesuffix(")"),
        **card,
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }

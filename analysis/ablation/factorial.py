"""An ablation as what it is, 2 x 2 or, beside another mode, 2 x 2 x 2: what each term is worth, and with the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import product

from analysis.read.command_lines import Origin, write_command
from analysis.read.programs import is_script
from analysis.read.results import Run, is_measured
from analysis.read.settings import Settings
from analysis.select.comparing import contrast_runs
from analysis.select.conditions import Conditions, conditions_of
from analysis.select.doubts import doubtful_numbers
from analysis.select.metrics import Metric
from analysis.select.settings import varying_settings
from analysis.sheets.notes import Note
from analysis.sheets.words import as_text
from analysis.statistics.contrasts import TERMS, Terms, contrasts_of, order_of, size_of, title_of
from analysis.statistics.differences import Difference, by_seed, corrected, mean_and_sd

_WEIGHT = "term_weights."  # columns of the runs
_MOST = 5  # settings that a message lists
_COUNTS = {4: "four", 8: "eight"}


class Lack(Enum):
    """Why runs are no ablation."""

    CELL = "a cell has no run"
    SEEDS = "no seed has all cells"
    ONE_MODE = "a cell has runs of several kd_modes"
    ONE_SETTING = "a cell has runs of several settings"


class NoFactorial(ValueError):
    """Runs are no ablation.

    Attributes:
        kind: What they lack.
    """

    def __init__(self, kind: Lack, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Effect:
    """A contrast of the cells, taken seed by seed.

    Attributes:
        factors: One for a main effect, several for an interaction.
        name: "intra", or "interaction" where there is but one, or "st x intra".
        difference: Its mean, interval and p-values (Holm: of all effects).
    """

    factors: tuple[str, ...]
    name: str
    difference: Difference


@dataclass(frozen=True)
class Factorial:
    """A 2 x 2 ablation of the two terms, or a 2 x 2 x 2 of them and what stands beside them.

    Attributes:
        factors: What is in or out: "intra", "inter", and before them what else is, such as "st".
        context: What all cells have in common and the other ablations of the directory have not.
        metric: What is measured.
        kd_modes: Of each cell.
        seeds: Those that all cells have; everything here is computed from these alone.
        means: Mean and sample standard deviation over these seeds, by cell.
        effects: Main effects, then interactions; () with a single seed.
        other_seeds: Those that at least one cell lacks.
        conditions: Of the runs.
        weights: Values of each term's weight where they are not one.
        doubts: What makes the numbers themselves doubtful.
    """

    factors: tuple[str, ...]
    context: Mapping[str, str]
    metric: Metric
    kd_modes: Mapping[Terms, str]
    seeds: tuple[int, ...]
    means: Mapping[Terms, tuple[float | None, float | None]]
    effects: tuple[Effect, ...]
    other_seeds: tuple[int, ...] = ()
    conditions: Conditions = field(default_factory=dict)
    weights: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    doubts: tuple[Note, ...] = ()

    def title(self, terms: Terms) -> str:
        """What is in the loss of a cell."""
        return title_of(self.factors, terms)


def others_of(run: Run) -> tuple[str, ...]:
    """The terms of a run besides intra and inter."""
    weights = ((name.removeprefix(_WEIGHT), value) for name, value in run.more.items() if name.startswith(_WEIGHT))
    return tuple(sorted(term for term, weight in weights if term not in TERMS and weight is not None and weight > 0))


def make_factorial(
    runs: Sequence[Run],
    others: tuple[str, ...],
    context: Mapping[str, str],
    metric: Metric,
    settings: Settings,
    mix: bool,
) -> Factorial:
    """Make an ablation of runs.

    Args:
        runs: Of all its cells.
        others: The terms that are a factor besides intra and inter; () for none.
        context: What the runs have in common.
        metric: What is measured.
        settings: Of the runs.
        mix: Whether the cells may differ in more than the method.
    Raises:
        NoFactorial: If a cell has no run, or runs of several settings, or no seed has all cells.
    """
    factors = (*(("+".join(others),) if others else ()), *TERMS)
    cells: dict[Terms, list[Run]] = {
        terms: [] for terms in sorted(product((False, True), repeat=len(factors)), key=order_of)
    }
    for run in runs:
        if run.lambda_intra is not None and run.lambda_inter is not None and is_measured(run[metric.name]):
            beside = (bool(others_of(run)),) if others else ()
            cells[*beside, run.lambda_intra > 0, run.lambda_inter > 0].append(run)
    for terms, of_cell in cells.items():
        _require_one_setting(factors, terms, of_cell, metric, settings, mix)
    values = {terms: by_seed([(run.seed, run[metric.name]) for run in of_cell]) for terms, of_cell in cells.items()}
    shared = sorted(set.intersection(*(set(seeds) for seeds in values.values())))
    if not shared:
        seeds = "; ".join(f"{title_of(factors, terms)}: {_list(of_cell)}" for terms, of_cell in values.items())
        text = f"no seed has all {_COUNTS[len(cells)]} cells of the {size_of(factors)}; seeds of {seeds}."
        raise NoFactorial(Lack.SEEDS, text)
    used = [run for of_cell in cells.values() for run in of_cell if run.seed in shared]
    return Factorial(
        factors=factors,
        context=context,
        metric=metric,
        kd_modes={terms: str(of_cell[0].kd_mode) for terms, of_cell in cells.items()},
        seeds=tuple(shared),
        means={terms: mean_and_sd([of_cell[seed] for seed in shared]) for terms, of_cell in values.items()},
        effects=_effects(factors, values, shared, list(cells.values()), settings, mix),
        other_seeds=tuple(sorted({seed for of_cell in values.values() for seed in of_cell} - set(shared))),
        conditions=conditions_of(used, [metric]),
        weights=_weights(cells),
        doubts=tuple(doubtful_numbers(used, [metric])),
    )


def _require_one_setting(
    factors: Sequence[str], terms: Terms, runs: Sequence[Run], metric: Metric, settings: Settings, mix: bool
) -> None:
    cell = title_of(factors, terms)
    if not runs:
        what = "neither term, each alone, and both"
        beside = f", with {factors[0]} and without it" if len(factors) > len(TERMS) else ""
        ablation = f"ablation={'composition' if beside else 'terms'}"
        command = write_command([ablation], Origin(is_console=is_script()), multirun=True)
        raise NoFactorial(
            Lack.CELL,
            f"a {size_of(factors)} ablation needs runs with {what}{beside}; no complete run has {cell} and a "
            f"value for {metric.name}. {command} makes them all.",
        )
    kd_modes = dict.fromkeys(str(run.kd_mode) for run in runs)
    if len(kd_modes) > 1:
        text = f"{cell}: several kd_modes ({', '.join(kd_modes)}); choose: --modes none,intra,inter,tfd."
        raise NoFactorial(Lack.ONE_MODE, text)
    if mix or len({run.settings_hash for run in runs}) == 1:
        return
    if len({(run.lambda_intra, run.lambda_inter) for run in runs}) > 1:
        pairs = dict.fromkeys(f"{as_text(run.lambda_intra)} and {as_text(run.lambda_inter)}" for run in runs)
        more = f"; and {len(pairs) - _MOST} more" if len(pairs) > _MOST else ""
        raise NoFactorial(
            Lack.ONE_SETTING,
            f"{cell}: runs of several settings (lambdas {'; '.join([*pairs][:_MOST])}{more}); choose one, as with "
            f"--where lambda_intra=0,8e-4.",
        )
    if varying := varying_settings(settings, runs):
        first = next(iter(varying))
        raise NoFactorial(
            Lack.ONE_SETTING,
            f"{cell}: runs of several settings ({', '.join([*varying][:_MOST])}); choose one, as with "
            f"--where {first}={as_text(varying[first][0])}, or mix them all the same: --mix.",
        )
    raise NoFactorial(
        Lack.ONE_SETTING,
        f"{cell}: runs of several settings, in what is not in their configs, such as the pictures of a data set; give "
        "the directory of one, or mix them all the same: --mix.",
    )


def _effects(
    factors: Sequence[str],
    values: Mapping[Terms, Mapping[int, float]],
    seeds: Sequence[int],
    cells: Sequence[Sequence[Run]],
    settings: Settings,
    mix: bool,
) -> tuple[Effect, ...]:
    if len(seeds) < 2:
        return ()
    taken = contrasts_of(factors, values, seeds)
    differences = corrected(contrast_runs({c.name: c.values for c in taken}, cells, settings, mix))
    return tuple(Effect(c.factors, c.name, difference) for c, difference in zip(taken, differences, strict=True))


def _weights(cells: Mapping[Terms, Sequence[Run]]) -> dict[str, tuple[float, ...]]:
    runs = [run for of_cell in cells.values() for run in of_cell]
    found = {}
    lambdas = [f"lambda_{term}" for term in TERMS]
    others = [name for name in runs[0].more if name.startswith(_WEIGHT) and name.removeprefix(_WEIGHT) not in TERMS]
    for name in (*lambdas, *others):
        values = {run[name] for run in runs if run[name] is not None and run[name] > 0}
        if len(values) > 1:
            found[name] = tuple(sorted(values))
    return found


def _list(seeds: Mapping[int, float]) -> str:
    return ", ".join(map(str, sorted(seeds))) or "none"

"""An ablation as what it is, 2 x 2 or, beside another mode, 2 x 2 x 2: what each term is worth, and with the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, product
from math import prod

from analysis.columns import check_name
from analysis.comparing import contrast_runs
from analysis.conditions import Conditions, conditions_of
from analysis.doubts import doubtful_numbers
from analysis.extras import with_columns
from analysis.gather import Gathered
from analysis.groups import DEFAULT_BY, Run, as_text, choose_by, group_runs, keep_where, refuse_mixed_protocols
from analysis.method import is_method
from analysis.metrics import Metric, choose_metrics
from analysis.results import is_measured
from analysis.settings import Settings, with_settings
from analysis.statistics import Difference, by_seed, corrected, mean_and_sd
from analysis.summary import complete_runs

Terms = tuple[bool, ...]
"""Whether each factor of an ablation is in the loss."""

TERMS = ("intra", "inter")
# Whether intra, and whether inter, is in the loss.
NEITHER, INTRA, INTER, BOTH = (False, False), (True, False), (False, True), (True, True)
_TITLES: Mapping[Terms, str] = {NEITHER: "neither", INTRA: "intra alone", INTER: "inter alone", BOTH: "both"}
_WEIGHT = "term_weights."  # columns of the runs
CONTEXT = tuple(column for column in DEFAULT_BY if not is_method(column))


_ROUNDING = 1e-12  # of a measured value
_MOST = 5  # settings that a message lists
_COUNTS = {4: "four", 8: "eight"}


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
        doubts: What makes the numbers themselves doubtful, a line each.
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
    doubts: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        """In words: 2 x 2, or 2 x 2 x 2."""
        return " x ".join("2" for _ in self.factors)

    def title(self, terms: Terms) -> str:
        """What is in the loss of a cell."""
        return title_of(self.factors, terms)


@dataclass(frozen=True)
class Analysed:
    """The ablations of a directory, and of what else could have been one why it is none."""

    found: tuple[Factorial, ...]
    reasons: tuple[str, ...] = ()


def analyse(
    gathered: Gathered,
    metrics: Sequence[str] | None = None,
    modes: Sequence[str] | None = None,
    where: Mapping[str, str] | None = None,
    mix: bool = False,
) -> Analysed:
    """Find the ablations below a directory, one for each metric and all settings besides the method that vary.

    Which terms a run has is read from their weights. Where there are others beside intra and inter, and runs without
    them as well, they are one more factor. An ablation that is not complete yet leaves the others alone.

    Args:
        gathered: The runs.
        metrics: Columns to judge by; None for the sweep's objectives, or what a protocol judges by.
        modes: kd_modes to take, where several have the same terms.
        where: Only runs whose columns have these values.
        mix: Whether the four cells may differ in more than the columns of every run, such as the model.
    Raises:
        ValueError: If of every one a cell has no run, or runs of several settings, or no seed has all four cells.
    """
    where = where or {}
    gathered = with_columns(with_columns(with_settings(gathered), where), metrics or (), kind="metric")
    complete = keep_where(complete_runs(gathered), where, gathered.runs.columns)
    if modes:
        for mode in modes:
            check_name("kd_mode", mode, dict.fromkeys(str(run["kd_mode"]) for run in complete))
        complete = [run for run in complete if run["kd_mode"] in modes]
    chosen = choose_metrics(gathered.runs, gathered.plan, complete, metrics)
    settings = gathered.settings or Settings()
    varying = choose_by(complete, None, gathered.runs.columns)
    by = tuple(column for column in varying if not is_method(column) and (column in CONTEXT or not mix))
    refuse_mixed_protocols(complete, by)
    found: list[Factorial] = []
    reasons: dict[str, list[str]] = {}
    for key, runs in group_runs(complete, by).items():
        context = dict(zip(by, map(as_text, key), strict=True))
        for metric in chosen if metrics else _usual_metrics(gathered, runs) or chosen:
            judge = partial(_factorial, metric=metric, settings=settings, mix=mix)
            # The cubes with what stands beside the two terms hold the squares, which are told where there is no cube.
            found += _judged(_cubes(runs), context, judge, reasons) or _judged(_squares(runs), context, judge, reasons)
    told = tuple(reason for error, leads in reasons.items() for reason in _told(error, leads))
    if not found:
        raise ValueError("\n".join(told))
    return Analysed(tuple(found), told)


def _told(error: str, leads: Sequence[str]) -> Iterator[str]:
    """A reason with what each set of runs has that is no 2 x 2 for it; a search in a rate has one a trial."""
    if len(leads) > _MOST:
        leads = (f"{leads[0]} and {len(leads) - 1} other settings",)
    for lead in leads:
        yield f"{lead}: {error}" if lead else error


def _usual_metrics(gathered: Gathered, runs: Sequence[Run]) -> tuple[Metric, ...]:
    """What runs of one protocol are judged by; () if they measured none of it."""
    try:
        return choose_metrics(gathered.runs, gathered.plan, runs, None)
    except ValueError:
        return ()


def _judged(
    attempts: Iterable["_Attempt"],
    context: Mapping[str, str],
    judge: Callable[..., Factorial],
    reasons: dict[str, list[str]],
) -> list[Factorial]:
    """The ablations among some attempts; why the others are none is added to the reasons."""
    found = []
    for others, runs, more in attempts:
        described = {**context, **more}
        try:
            found.append(judge(runs, others, described))
        except ValueError as error:
            lead = " ".join(f"{key}={value}" for key, value in described.items())
            reasons.setdefault(str(error), []).append(lead)
    return found


_Attempt = tuple[tuple[str, ...], Sequence[Run], Mapping[str, str]]
"""What stands beside the terms as a factor, the runs, and what they have in common besides their settings."""


def _cubes(runs: Sequence[Run]) -> list[_Attempt]:
    """The ablations of the terms with something beside them and without it."""
    by_others = _by_others(runs)
    plain = by_others.pop((), [])
    return [(others, [*plain, *own], {}) for others, own in by_others.items() if plain and _varies(own)]


def _squares(runs: Sequence[Run]) -> list[_Attempt]:
    """The ablations of the terms alone, and beside each thing that all runs have."""
    by_others = _by_others(runs)
    plain = by_others.pop((), [])
    beside: list[_Attempt] = [
        ((), own, {"beside": "+".join(others)}) for others, own in by_others.items() if _varies(own)
    ]
    return [((), plain, {}), *beside] if plain or not beside else beside


def _by_others(runs: Sequence[Run]) -> dict[tuple[str, ...], list[Run]]:
    grouped: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        grouped.setdefault(_others(run), []).append(run)
    return grouped


def _varies(runs: Sequence[Run]) -> bool:
    """Whether some of the runs have a term that others have not."""
    return len({tuple((run[f"lambda_{term}"] or 0) > 0 for term in TERMS) for run in runs}) > 1


def _others(run: Run) -> tuple[str, ...]:
    """The terms of a run besides intra and inter."""
    weights = ((name.removeprefix(_WEIGHT), value) for name, value in run.items() if name.startswith(_WEIGHT))
    return tuple(sorted(term for term, weight in weights if term not in TERMS and weight is not None and weight > 0))


def title_of(factors: Sequence[str], terms: Terms) -> str:
    """What is in the loss of a cell, in words."""
    if len(factors) == len(TERMS):
        return _TITLES[terms]
    return " + ".join(factor for factor, is_in in zip(factors, terms, strict=True) if is_in) or "none"


def _factorial(
    runs: Sequence[Run],
    others: tuple[str, ...],
    context: Mapping[str, str],
    metric: Metric,
    settings: Settings,
    mix: bool,
) -> Factorial:
    factors = (*(("+".join(others),) if others else ()), *TERMS)
    cells: dict[Terms, list[Run]] = {
        terms: [] for terms in sorted(product((False, True), repeat=len(factors)), key=_order)
    }
    for run in runs:
        if run["lambda_intra"] is not None and run["lambda_inter"] is not None and is_measured(run[metric.name]):
            beside = (bool(_others(run)),) if others else ()
            cells[*beside, run["lambda_intra"] > 0, run["lambda_inter"] > 0].append(run)
    for terms, of_cell in cells.items():
        _require_one_setting(factors, terms, of_cell, metric, settings, mix)
    values = {terms: by_seed([(run["seed"], run[metric.name]) for run in of_cell]) for terms, of_cell in cells.items()}
    shared = sorted(set.intersection(*(set(seeds) for seeds in values.values())))
    if not shared:
        seeds = "; ".join(f"{title_of(factors, terms)}: {_list(of_cell)}" for terms, of_cell in values.items())
        raise ValueError(f"no seed has all {_COUNTS[len(cells)]} cells of the {_size(factors)}; seeds of {seeds}.")
    used = [run for of_cell in cells.values() for run in of_cell if run["seed"] in shared]
    return Factorial(
        factors=factors,
        context=context,
        metric=metric,
        kd_modes={terms: str(of_cell[0]["kd_mode"]) for terms, of_cell in cells.items()},
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
        command = "composition" if beside else "terms"
        raise ValueError(
            f"a {_size(factors)} ablation needs runs with {what}{beside}; no complete run has {cell} and a "
            f"value for {metric.name}. python run.py -m ablation={command} makes them all."
        )
    kd_modes = dict.fromkeys(str(run["kd_mode"]) for run in runs)
    if len(kd_modes) > 1:
        raise ValueError(f"{cell}: several kd_modes ({', '.join(kd_modes)}); choose: --modes none,intra,inter,tfd.")
    if mix or len({run["settings_hash"] for run in runs}) == 1:
        return
    if len({(run["lambda_intra"], run["lambda_inter"]) for run in runs}) > 1:
        pairs = dict.fromkeys(f"{as_text(run['lambda_intra'])} and {as_text(run['lambda_inter'])}" for run in runs)
        more = f"; and {len(pairs) - _MOST} more" if len(pairs) > _MOST else ""
        raise ValueError(
            f"{cell}: runs of several settings (lambdas {'; '.join([*pairs][:_MOST])}{more}); choose one, as with "
            f"--where lambda_intra=0,8e-4."
        )
    if varying := settings.varying(runs):
        first = next(iter(varying))
        raise ValueError(
            f"{cell}: runs of several settings ({', '.join([*varying][:_MOST])}); choose one, as with "
            f"--where {first}={as_text(varying[first][0])}, or mix them all the same: --mix."
        )
    raise ValueError(
        f"{cell}: runs of several settings, in what is not in their configs, such as the pictures of a data set; give "
        "the directory of one, or mix them all the same: --mix."
    )


def _effects(
    factors: Sequence[str],
    values: Mapping[Terms, Mapping[int, float]],
    seeds: Sequence[int],
    cells: Sequence[Sequence[Run]],
    settings: Settings,
    mix: bool,
) -> tuple[Effect, ...]:
    """Contrasts of the cells, seed by seed.

    A main effect is the difference that a factor makes, averaged over the cells of the others: of cells n (neither), a
    (intra), e (inter) and b (both), intra = ((a - n) + (b - e)) / 2. An interaction is the difference that another
    factor makes to that: (b - e) - (a - n); of three, the difference that the third makes.
    """
    if len(seeds) < 2:
        return ()
    chosen = [each for count in range(1, len(factors) + 1) for each in combinations(range(len(factors)), count)]
    contrasts = {}
    for places in chosen:
        signs = {terms: prod(1 if terms[place] else -1 for place in places) for terms in values}
        share = 2 ** (len(factors) - len(places))
        contrasts[_name([factors[place] for place in places], len(factors))] = [
            _total(*(sign * values[terms][seed] for terms, sign in signs.items())) / share for seed in seeds
        ]
    differences = corrected(contrast_runs(contrasts, cells, settings, mix))
    return tuple(
        Effect(tuple(factors[place] for place in places), name, difference)
        for places, name, difference in zip(chosen, contrasts, differences, strict=True)
    )


def _name(factors: Sequence[str], count: int) -> str:
    return "interaction" if len(factors) == count == len(TERMS) else " x ".join(factors)


def _size(factors: Sequence[str]) -> str:
    return " x ".join("2" for _ in factors)


def _order(terms: Terms) -> tuple[bool, ...]:
    """Cells by the last factor, and within by the ones before it: neither, intra, inter, both."""
    *beside, intra, inter = terms
    return (*beside, inter, intra)


def _total(*parts: float) -> float:
    """A sum; 0 where it is what rounding leaves of parts that cancel, which no test should weigh."""
    total = sum(parts)
    return 0.0 if abs(total) <= _ROUNDING * max(map(abs, parts)) else total


def _weights(cells: Mapping[Terms, Sequence[Run]]) -> dict[str, tuple[float, ...]]:
    runs = [run for of_cell in cells.values() for run in of_cell]
    found = {}
    lambdas = [f"lambda_{term}" for term in TERMS]
    others = [name for name in runs[0] if name.startswith(_WEIGHT) and name.removeprefix(_WEIGHT) not in TERMS]
    for name in (*lambdas, *others):
        values = {run[name] for run in runs if run[name] is not None and run[name] > 0}
        if len(values) > 1:
            found[name] = tuple(sorted(values))
    return found


def _list(seeds: Mapping[int, float]) -> str:
    return ", ".join(map(str, sorted(seeds))) or "none"

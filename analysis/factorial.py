"""The ablation of the two terms as what it is, 2 x 2: what each is worth, and whether they depend on each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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

# Whether intra, and whether inter, is in the loss.
NEITHER, INTRA, INTER, BOTH = (False, False), (True, False), (False, True), (True, True)
TITLES = {NEITHER: "neither", INTRA: "intra alone", INTER: "inter alone", BOTH: "both"}
CONTEXT = tuple(column for column in DEFAULT_BY if not is_method(column))

Terms = tuple[bool, bool]

_ROUNDING = 1e-12  # of a measured value
_MOST = 5  # settings that a message lists


@dataclass(frozen=True)
class Effect:
    """A contrast of the four cells, taken seed by seed.

    Attributes:
        name: "intra", "inter" or "interaction".
        difference: Its mean, interval and p-values (Holm: of the three).
    """

    name: str
    difference: Difference


@dataclass(frozen=True)
class Factorial:
    """A 2 x 2 ablation.

    Attributes:
        context: What all four cells have in common and the other ablations of the directory have not.
        metric: What is measured.
        kd_modes: Of each cell.
        seeds: Those that all four cells have; everything here is computed from these alone.
        means: Mean and sample standard deviation over these seeds, by cell.
        effects: intra, inter, interaction; () with a single seed.
        other_seeds: Those that at least one cell lacks.
        conditions: Of the runs.
        lambdas: Values of each term where they are not one.
        doubts: What makes the numbers themselves doubtful, a line each.
    """

    context: Mapping[str, str]
    metric: Metric
    kd_modes: Mapping[Terms, str]
    seeds: tuple[int, ...]
    means: Mapping[Terms, tuple[float | None, float | None]]
    effects: tuple[Effect, ...]
    other_seeds: tuple[int, ...] = ()
    conditions: Conditions = field(default_factory=dict)
    lambdas: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Analysed:
    """The 2 x 2 ablations of a directory, and of what else could have been one why it is none."""

    found: tuple[Factorial, ...]
    reasons: tuple[str, ...] = ()


def analyse(
    gathered: Gathered,
    metrics: Sequence[str] | None = None,
    modes: Sequence[str] | None = None,
    where: Mapping[str, str] | None = None,
    mix: bool = False,
) -> Analysed:
    """Find the 2 x 2 ablations below a directory, one for each metric and all settings besides the method that vary.

    Which terms a run has is read from its lambdas. One that is not complete yet leaves the others alone.

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
            try:
                found.append(_factorial(runs, context, metric, settings, mix))
            except ValueError as error:
                lead = " ".join(f"{key}={value}" for key, value in context.items())
                reasons.setdefault(str(error), []).append(lead)
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


def _factorial(
    runs: Sequence[Run], context: Mapping[str, str], metric: Metric, settings: Settings, mix: bool
) -> Factorial:
    cells: dict[Terms, list[Run]] = {terms: [] for terms in TITLES}
    for run in runs:
        if run["lambda_intra"] is not None and run["lambda_inter"] is not None and is_measured(run[metric.name]):
            cells[run["lambda_intra"] > 0, run["lambda_inter"] > 0].append(run)
    for terms, of_cell in cells.items():
        _require_one_setting(TITLES[terms], of_cell, metric, settings, mix)
    values = {terms: by_seed([(run["seed"], run[metric.name]) for run in of_cell]) for terms, of_cell in cells.items()}
    shared = sorted(set.intersection(*(set(seeds) for seeds in values.values())))
    if not shared:
        seeds = "; ".join(f"{TITLES[terms]}: {_list(of_cell)}" for terms, of_cell in values.items())
        raise ValueError(f"no seed has all four cells of the 2 x 2; seeds of {seeds}.")
    used = [run for of_cell in cells.values() for run in of_cell if run["seed"] in shared]
    return Factorial(
        context=context,
        metric=metric,
        kd_modes={terms: str(of_cell[0]["kd_mode"]) for terms, of_cell in cells.items()},
        seeds=tuple(shared),
        means={terms: mean_and_sd([of_cell[seed] for seed in shared]) for terms, of_cell in values.items()},
        effects=_effects(values, shared, list(cells.values()), settings, mix),
        other_seeds=tuple(sorted({seed for of_cell in values.values() for seed in of_cell} - set(shared))),
        conditions=conditions_of(used, [metric]),
        lambdas=_lambdas(cells),
        doubts=tuple(doubtful_numbers(used, [metric])),
    )


def _require_one_setting(cell: str, runs: Sequence[Run], metric: Metric, settings: Settings, mix: bool) -> None:
    if not runs:
        raise ValueError(
            f"a 2 x 2 ablation needs runs with neither term, each alone, and both; no complete run has {cell} and a "
            f"value for {metric.name}. python run.py -m ablation=terms makes them all."
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
    values: Mapping[Terms, Mapping[int, float]],
    seeds: Sequence[int],
    cells: Sequence[Sequence[Run]],
    settings: Settings,
    mix: bool,
) -> tuple[Effect, ...]:
    """Contrasts of the cells n (neither), a (intra), e (inter) and b (both), seed by seed.

    intra = ((a - n) + (b - e)) / 2, inter = ((e - n) + (b - a)) / 2, interaction = (b - e) - (a - n).
    """
    if len(seeds) < 2:
        return ()
    n, a, e, b = ([values[terms][seed] for seed in seeds] for terms in (NEITHER, INTRA, INTER, BOTH))
    contrasts = {
        "intra": [_total(a, -n, b, -e) / 2 for n, a, e, b in zip(n, a, e, b, strict=True)],
        "inter": [_total(e, -n, b, -a) / 2 for n, a, e, b in zip(n, a, e, b, strict=True)],
        "interaction": [_total(b, -e, -a, n) for n, a, e, b in zip(n, a, e, b, strict=True)],
    }
    differences = corrected(contrast_runs(contrasts, cells, settings, mix))
    return tuple(Effect(name, difference) for name, difference in zip(contrasts, differences, strict=True))


def _total(*parts: float) -> float:
    """A sum; 0 where it is what rounding leaves of parts that cancel, which no test should weigh."""
    total = sum(parts)
    return 0.0 if abs(total) <= _ROUNDING * max(map(abs, parts)) else total


def _lambdas(cells: Mapping[Terms, Sequence[Run]]) -> dict[str, tuple[float, ...]]:
    found = {}
    for name in ("lambda_intra", "lambda_inter"):
        values = {run[name] for runs in cells.values() for run in runs if run[name] > 0}
        if len(values) > 1:
            found[name] = tuple(sorted(values))
    return found


def _list(seeds: Mapping[int, float]) -> str:
    return ", ".join(map(str, sorted(seeds))) or "none"

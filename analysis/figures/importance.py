"""How much of the objective's variation each parameter of a search explains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.chart import Axis, Bars, Chart, Label, Panel
from analysis.figures.log_axis import LogAxis
from analysis.figures.style import numbered
from analysis.read.gather import Gathered
from analysis.select.dimensions import Dimension, Value
from analysis.select.metrics import Metric
from analysis.select.ranking import Trial
from analysis.select.trials import Search, find_search
from analysis.sheets.words import count, there_are

if TYPE_CHECKING:
    from optuna.study import Study

FEWEST = 5  # trials; with fewer the shares mean nothing at all
ENOUGH = 50  # trials, below which a picture says that it is rough


@dataclass(frozen=True)
class Importance:
    """Shares of the parameters, which sum to 1, largest first.

    Attributes:
        metric: The objective.
        shares: Name and share.
        evaluator: fANOVA, or PED-ANOVA where the former cannot be had.
        notes: What the picture shows.
    """

    metric: Metric
    shares: tuple[tuple[str, float], ...]
    evaluator: str
    notes: tuple[str, ...]

    def chart(self) -> Chart:
        """A bar a parameter."""
        return _chart(self)


def importance_info(gathered: Gathered, metric: str | None = None) -> Importance:
    """Let Optuna weigh the parameters of the one search, with a fixed seed.

    Raises:
        ValueError: If there is no search, or several, if fewer than 5 trials are complete, if fewer than 2
            parameters vary, or if all trials have the same objective.
    """
    search = find_search(gathered, metric)
    trials = search.with_all_params()
    if len(trials) < FEWEST:
        lacking = " with all parameters" if len(trials) < len(search.complete()) else ""
        raise ValueError(f"parameter importance needs {FEWEST} complete trials{lacking}; {there_are(len(trials))}")
    varying = [d for d in search.dimensions if len({trial.params[d.name] for trial in trials}) > 1]
    if len(varying) < 2:
        raise ValueError("parameter importance compares parameters, and fewer than 2 vary in this search")
    if len({trial.value for trial in trials}) == 1:
        raise ValueError("all trials have the same objective, so that no parameter explains a difference")
    shares, evaluator = _evaluate(_as_study(search, varying, trials))
    rough = f"; below {ENOUGH} trials this is a rough guide" if len(trials) < ENOUGH else ""
    constant = [dimension.name for dimension in search.dimensions if dimension not in varying]
    notes = (
        f"{evaluator} of {search.metric.label}, {count(len(trials), 'trial')}{rough}",
        *search.described(trials),
        *([f"The same in all of these, so without a share: {', '.join(constant)}"] if constant else []),
    )
    ordered = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
    return Importance(search.metric, tuple(ordered), evaluator, notes)


def _as_study(search: Search, dimensions: Sequence[Dimension], trials: Sequence[Trial]) -> "Study":
    """An Optuna study in memory, made of what the runs recorded: a sweep's own database may be in use, or gone."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    distributions: dict[str, BaseDistribution] = {}
    for one in dimensions:
        if one.scale == "choice":
            distributions[one.name] = CategoricalDistribution(sorted({str(t.params[one.name]) for t in trials}))
        elif one.zero:
            distributions[one.name] = FloatDistribution(*_places(one).ends)
        else:
            distributions[one.name] = FloatDistribution(one.low, one.high, log=one.scale == "log")
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # or it tells that a study was created
    study = optuna.create_study(direction="minimize" if search.metric.smaller_is_better else "maximize")
    optuna.logging.set_verbosity(verbosity)
    for trial in trials:
        params = {one.name: _param(one, trial.params[one.name]) for one in dimensions}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=trial.value))
    return study


def _param(dimension: Dimension, value: Value) -> Value:
    if dimension.scale == "choice":
        return str(value)
    return _places(dimension).place(float(value)) if dimension.zero else value


def _places(dimension: Dimension) -> LogAxis:
    """Where the values of a log scale with a 0 lie, for which Optuna has no distribution."""
    return LogAxis(dimension.low, dimension.high, zero=True)


def _evaluate(study: "Study") -> tuple[dict[str, float], str]:
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    # Up to 64 leaves a tree: more fit the noise, move the shares less than another seed does, and take 5 times as long.
    fanova = FanovaImportanceEvaluator(max_depth=6, seed=0)
    try:
        shares, name = get_param_importances(study, evaluator=fanova), "fANOVA"
    except (ImportError, RuntimeError):  # no scikit-learn, or trees that never split
        shares, name = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()), "PED-ANOVA"
    return {key: float(share) for key, share in shares.items()}, name


def _chart(info: Importance) -> Chart:
    heights = tuple(float(-i) for i in range(len(info.shares)))
    shares = tuple(share for _, share in info.shares)
    labels = [Label(share, y, f"{share:.2f}") for share, y in zip(shares, heights, strict=True)]
    hover = tuple(f"{name}: {share:.3f}" for name, share in info.shares)
    bars = Bars(heights, (0.0,) * len(shares), shares, (numbered(0),) * len(shares), hover)
    y = Axis(ticks=tuple((y, name) for y, (name, _) in zip(heights, info.shares, strict=True)))
    x = Axis(f"share of the variation of {info.metric.name}", span=(0, max(shares) * 1.15))
    panel = Panel(x, y, (bars, *labels))
    return Chart("Parameter importance", info.notes, (panel,), height=max(1.1, 0.3 * len(shares) + 0.6))

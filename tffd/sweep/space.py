"""What varies in a sweep, written in Hydra's own sweep syntax, as Optuna distributions or as cells of a grid."""

import itertools
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import FloatRange, IntervalSweep, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from tffd.sweep.arguments import Cell, Conditions, Value, parse, plain, write
from tffd.sweep.optuna_private import lies_within


def parse_distribution(key: str, text: str) -> BaseDistribution:
    """Turn sweep syntax into an Optuna distribution.

    `interval(a, b)` is uniform, `tag(log, interval(a, b))` log-uniform, `int(interval(a, b))` gives integers. `range`
    gives integers or steps, `choice(a, b)` and `a,b` categories.

    Raises:
        ValueError: If the text is no sweep, or bounds are empty, reversed or not positive on a log scale.
    """
    override = parse(key, text)
    value = override.value()
    if not override.is_sweep_override():
        raise ValueError(f"{key}={text}: is one value; a search needs choices such as 1,2 or bounds, interval(1, 2)")
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        if low is None or high is None or not low < high or (log and low <= 0):
            raise ValueError(f"{key}={text}: an interval needs low < high" + (", and low above 0 for log" * log))
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)
    values: list[Any] = list(override.sweep_iterator())
    if not values:
        raise ValueError(f"{key}={text}: holds no value")
    if any(isinstance(item, IntervalSweep) for item in values):
        raise ValueError(f"{key}={text}: mixes an interval with choices; give one interval, or values alone")
    if isinstance(value, RangeSweep) and not value.shuffle and not isinstance(value.range(), FloatRange):
        step = values[1] - values[0] if len(values) > 1 else 1
        return IntDistribution(min(values[0], values[-1]), max(values[0], values[-1]), step=abs(step))
    return CategoricalDistribution([plain(item) for item in values])


def parse_grid(dimensions: Mapping[str, str]) -> list[Cell]:
    """Return the product of listed values as cells {key: value as typed}, the last key varying fastest.

    Raises:
        ValueError: If a dimension is an interval, which has no list of values.
    """
    columns = []
    for key, text in dimensions.items():
        override = parse(key, text)
        if isinstance(override.value(), IntervalSweep):
            raise ValueError(
                f"{key}={text}: a grid needs a list of values, such as {key}=0.001,0.01; "
                "intervals are searched with sweep=lambdas"
            )
        if override.is_sweep_override():
            values = list(dict.fromkeys(map(write, override.sweep_iterator())))
        else:
            values = [override.get_value_element_as_str()]
        columns.append([(key, value) for value in values])
    return [dict(cell) for cell in itertools.product(*columns)]


def suggest(trial: Trial, space: Mapping[str, BaseDistribution], when: Conditions) -> dict[str, Value]:
    """Ask a trial for a value of every dimension that applies; values that it already has are kept.

    Args:
        when: Dimensions that apply only for some values of others, which come before them in the space.
    """
    values: dict[str, Value] = {}
    for key, distribution in space.items():
        if not applies(key, values, when):
            continue
        match distribution:
            case FloatDistribution(low=low, high=high, log=log, step=step):
                values[key] = trial.suggest_float(key, low, high, step=step, log=log)
            case IntDistribution(low=low, high=high, log=log, step=step):
                values[key] = trial.suggest_int(key, low, high, step=step, log=log)
            case CategoricalDistribution(choices=choices):
                values[key] = trial.suggest_categorical(key, choices)
    return values


def applies(key: str, values: Mapping[str, Value], when: Conditions) -> bool:
    """Tell whether a dimension is searched at a point; one without a condition always is."""
    return all(str(values.get(other)) in allowed for other, allowed in when.get(key, {}).items())


def corners(space: Mapping[str, BaseDistribution], when: Conditions) -> list[dict[str, Value]]:
    """Return points that meet both bounds, or every choice, of each dimension once.

    Each choice on which other dimensions depend meets all of theirs.
    """
    columns: dict[str, list[Any]] = {}
    for key, distribution in space.items():
        match distribution:
            case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high):
                columns[key] = [low, high]
            case CategoricalDistribution(choices=choices):
                columns[key] = list(choices)
    deciding = list(dict.fromkeys(other for condition in when.values() for other in condition))
    points = []
    for choice in itertools.product(*(columns[key] for key in deciding)):
        decided = columns | {key: [value] for key, value in zip(deciding, choice, strict=True)}
        for i in range(max(map(len, decided.values()))):
            point = {key: values[min(i, len(values) - 1)] for key, values in decided.items()}
            points.append({key: value for key, value in point.items() if applies(key, point, when)})
    return points


def contains(distribution: BaseDistribution, value: Value) -> bool:
    """Tell whether a value lies within the bounds, or among the choices, of a distribution."""
    match distribution:
        case FloatDistribution() | IntDistribution():
            return isinstance(value, (int, float)) and lies_within(distribution, value)
        case CategoricalDistribution(choices=choices):
            return value in choices
    return False

"""What varies in a sweep, written in Hydra's own sweep syntax, as Optuna distributions or as cells of a grid."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import FloatRange, Glob, IntervalSweep, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from tffd.choices import Options
from tffd.sweep.grammar import Value, parse, plain, write

Cell = dict[str, str]
Conditions = Mapping[str, Mapping[str, Sequence[str]]]
"""Dimension to {other dimension: values of it for which the first is searched}."""


@dataclass(frozen=True)
class Arguments:
    """A command line, sorted.

    Attributes:
        fixed: Overrides that hold for every trial, as they were typed.
        varied: Key to sweep text, such as {"seed": "0,1,2"}.
    """

    fixed: list[str]
    varied: dict[str, str]


def sort_arguments(arguments: Sequence[str], options: Options = lambda group: []) -> Arguments:
    """Tell the overrides that hold for all trials from those that list or bound values.

    Args:
        arguments: As typed.
        options: The names in a group, for `glob(...)`.
    Raises:
        ValueError: If a glob matches nothing.
    """
    fixed, varied = [], {}
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        line = str(override.input_line)
        if override.is_sweep_override():
            varied[_key(line)] = line.split("=", 1)[1]
        else:
            fixed.append(line)
    return Arguments(fixed, expand_globs(varied, options))


def expand_globs(dimensions: Mapping[str, str], options: Options) -> dict[str, str]:
    """Write out which names of a group are meant by `glob(...)`; the other dimensions stay as they are.

    Raises:
        ValueError: If a glob matches nothing.
    """
    expanded = dict(dimensions)
    for key, text in dimensions.items():
        pattern = parse(key, text).value()
        if isinstance(pattern, Glob):
            known = options(key)
            names = pattern.filter(known)
            if not names:
                there = f"there are {', '.join(known)}" if known else f"{key} is no group of configs; list its values"
                raise ValueError(f"{key}={text}: matches no choice; {there}")
            expanded[key] = f"choice({','.join(names)})"
    return expanded


def merge(configured: Mapping[str, str], arguments: Arguments) -> dict[str, str]:
    """Join the dimensions of a config and of the command line, which wins; a value fixed there ends a dimension."""
    fixed = {_key(override) for override in arguments.fixed}
    return {key: text for key, text in configured.items() if key not in fixed} | arguments.varied


def settle(
    dimensions: Mapping[str, str], when: Conditions, arguments: Arguments
) -> tuple[dict[str, str], dict[str, dict[str, Sequence[str]]]]:
    """Drop what the command line decides: conditions that it meets, and dimensions whose conditions it does not.

    Returns:
        The dimensions, those with a condition last, and the conditions that are left.
    """
    typed = dict(override.split("=", 1) for override in arguments.fixed if "=" in override) | arguments.varied
    values = {key.lstrip("+"): _values(key.lstrip("+"), text) for key, text in typed.items()}
    free, conditional = {}, {}
    conditions: dict[str, dict[str, Sequence[str]]] = {}
    for key, text in dimensions.items():
        left: dict[str, Sequence[str]] = {}
        for other, allowed in when.get(key, {}).items():
            possible = [value for value in values.get(other, allowed) if value in allowed]
            if other not in values or other in arguments.varied or not possible:
                left[other] = possible
        if not all(left.values()):
            continue
        if left:
            conditional[key], conditions[key] = text, left
        else:
            free[key] = text
    return free | conditional, conditions


def _values(key: str, text: str) -> list[str]:
    """The values that an override gives a key, each in one form however it was written; none for an interval."""
    override = parse(key, text)
    if isinstance(override.value(), IntervalSweep):
        return []
    return (
        [str(value) for value in override.sweep_iterator()] if override.is_sweep_override() else [str(override.value())]
    )


def require_conditions(space: Mapping[str, BaseDistribution], when: Conditions) -> None:
    """Check that conditions ask for choices that are there.

    Raises:
        ValueError: If not.
    """
    for key, condition in when.items():
        for other, allowed in condition.items():
            distribution = space.get(other)
            if not isinstance(distribution, CategoricalDistribution) or other in when:
                raise ValueError(
                    f"sweep.when.{key}: {other} is no unconditional choice of this search; add it to sweep.space, such "
                    f'as {other}: "{",".join(allowed)}"'
                )
            unknown = set(allowed) - set(map(str, distribution.choices))
            if unknown:
                raise ValueError(
                    f"sweep.when.{key}.{other}={sorted(unknown)[0]}: is none of its choices, "
                    f"{', '.join(map(str, distribution.choices))}"
                )


def is_interval(key: str, text: str) -> bool:
    """Tell whether a dimension has bounds, so that only a search can vary it."""
    return isinstance(parse(key, text).value(), IntervalSweep)


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


def trial_overrides(fixed: Sequence[str], values: Mapping[str, Value]) -> list[str]:
    """Return the overrides of one trial: its values, and what holds for all trials but is not among them."""
    others = [override for override in fixed if _key(override) not in values]
    return [*others, *as_overrides(values)]


def as_overrides(values: Mapping[str, Value]) -> list[str]:
    """Write values, of which texts are in Hydra's grammar already, as overrides."""
    return [f"{key}={'null' if value is None else value}" for key, value in values.items()]


def write_value(key: str, value: Value, text: str) -> Value:
    """Write a point's value of a dimension in Hydra's grammar: a choice that is a text with quotes where it needs them.

    Args:
        key: The dimension.
        value: What was chosen.
        text: The dimension as it was written.
    """
    override = parse(key, text)
    if not isinstance(value, str) or isinstance(override.value(), IntervalSweep):
        return value
    items = list(override.sweep_iterator())
    return next((write(item) for item in items if plain(item) == value), value)


def contains(distribution: BaseDistribution, value: Value) -> bool:
    """Tell whether a value lies within the bounds, or among the choices, of a distribution."""
    match distribution:
        case FloatDistribution() | IntDistribution():
            return isinstance(value, (int, float)) and distribution._contains(value)
        case CategoricalDistribution(choices=choices):
            return value in choices
    return False


def _key(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+")

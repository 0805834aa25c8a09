"""The words of a sweep command in Hydra's override grammar: read, sorted, and written so that they are read again."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, Quote, QuotedString
from hydra.errors import HydraException

from tffd.choices import Options

Value = str | int | float | bool | None

_NEEDS_NO_QUOTES = re.compile(r"[\w./+-]+", re.ASCII)


def parse(key: str, text: str) -> Override:
    """Read what a key is given.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        return OverridesParser.create().parse_override(f"{key}={text}")
    except HydraException as error:
        raise ValueError(f"{key}={text}: cannot be read ({str(error).splitlines()[0]})") from error


def write(item: Any) -> str:
    """Write a value so that it is read as what it is; Hydra's own writer forgets quotes."""
    if isinstance(item, list):
        return f"[{','.join(map(write, item))}]"
    if isinstance(item, dict):
        return f"{{{','.join(f'{write(key)}:{write(value)}' for key, value in item.items())}}}"
    if isinstance(item, str) and (not _NEEDS_NO_QUOTES.fullmatch(item) or _is_no_text(item)):
        return QuotedString(item, Quote.single).with_quotes()
    return Override._get_value_element_as_str(item)


def _is_no_text(word: str) -> bool:
    """Whether Hydra reads a plain word as a number, a truth value or nothing."""
    try:
        float(word)
    except ValueError:
        return word.lower() in ("null", "true", "false")
    return True


def plain(item: object) -> Value:
    """Return an item of a sweep as Optuna can keep it: lists become text."""
    if isinstance(item, QuotedString):
        return item.text
    if isinstance(item, list):
        return write(item)
    return item if isinstance(item, (int, float, bool)) or item is None else str(Override._convert_value(item))  # type: ignore[arg-type]


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
        arguments: The words as they were typed.
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


def decide_conditions(
    dimensions: Mapping[str, str], when: Conditions, arguments: Arguments
) -> tuple[dict[str, str], dict[str, dict[str, Sequence[str]]]]:
    """Drop what the command line decides: conditions that it meets, and dimensions whose conditions it rules out.

    Returns:
        The dimensions, those with a condition last, and the conditions that are left.
    """
    typed = dict(override.split("=", 1) for override in arguments.fixed if "=" in override) | arguments.varied
    values = {key.lstrip("+"): _values(key.lstrip("+"), text) for key, text in typed.items()}
    left = {key: _undecided(when.get(key, {}), values, arguments.varied) for key in dimensions}
    possible = [key for key in dimensions if all(left[key].values())]
    ordered = sorted(possible, key=lambda key: bool(left[key]))
    return {key: dimensions[key] for key in ordered}, {key: left[key] for key in ordered if left[key]}


def _undecided(
    condition: Mapping[str, Sequence[str]], typed: Mapping[str, Sequence[str]], varied: Collection[str]
) -> dict[str, Sequence[str]]:
    """What the command line leaves open of a dimension's condition; no value where it rules the condition out.

    Args:
        condition: Other dimensions to the values for which the dimension is searched.
        typed: The values that the command line gives keys, one or several.
        varied: Keys to which it gives several.
    """
    possible = {
        other: [value for value in typed.get(other, allowed) if value in allowed]
        for other, allowed in condition.items()
    }
    met = {other for other, values in possible.items() if other in typed and other not in varied and values}
    return {other: values for other, values in possible.items() if other not in met}


def _values(key: str, text: str) -> list[str]:
    """The values that an override gives a key, each in one form however it was written; none for an interval."""
    override = parse(key, text)
    if isinstance(override.value(), IntervalSweep):
        return []
    return (
        [str(plain(value)) for value in override.sweep_iterator()]
        if override.is_sweep_override()
        else [str(plain(override.value()))]
    )


def listed(key: str, text: str) -> dict[str, str]:
    """The values that a dimension lists, as Optuna keeps them, each with how it is written; {} for an interval."""
    override = parse(key, text)
    if isinstance(override.value(), IntervalSweep):
        return {}
    return {str(plain(item)): write(item) for item in override.sweep_iterator()}


def is_interval(key: str, text: str) -> bool:
    """Tell whether a dimension has bounds, so that only a search can vary it."""
    return isinstance(parse(key, text).value(), IntervalSweep)


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


def _key(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+")

"""When a value that was typed is that of a run: each is compared in its own type, a text as text, a number as number.

Python takes "1_1" for 11 and "nan" for a number that equals nothing; names of runs may be either.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*|(0|[1-9][0-9]*)?\.[0-9]+|[1-9][0-9]*\.|0\.)([eE][+-]?[0-9]+)?")
_COMMA = re.compile(r",(?![^\[\]]*\])")  # outside brackets


def as_number(text: str) -> float | None:
    """The number that a text is, as people and programs write it; None for 007, 1_1, nan and other names."""
    return float(text) if _NUMBER.fullmatch(text) else None


def is_value(value: Any, text: str) -> bool:
    """Whether a text stands for a value of a run: "1e-3" for 0.001, "null" and "-" for none, "tfd" for "tfd" alone."""
    text = text.strip()
    if value is None:
        return text in ("null", "-")
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, int | float):
        number = as_number(text)
        exact = int(text) if number is not None and text.isdecimal() else number  # seeds may be beyond 2^53
        return exact == value or text == str(value)
    return text == str(value).strip()


def is_one_of(value: Any, wanted: str) -> bool:
    """Whether a value is among those of a list, `a,b`."""
    return any(is_value(value, text) for text in listed_texts(wanted))


def listed_texts(wanted: str) -> tuple[str, ...]:
    """The texts of `a,b`.

    A value may hold commas itself, as `[1, 2]` does: brackets are not taken apart, and the whole text is one too.
    """
    return tuple(dict.fromkeys(text.strip() for text in (wanted, *_COMMA.split(wanted))))


def unquoted(text: str) -> str:
    """The text of an override without the quotes that Hydra may need around it."""
    return text.strip("'\"")


def number_or_text(value: Any) -> float | str:
    """One form for an override and for what a run recorded: "1e-3" is 0.001."""
    text = unquoted(str(value))
    number = as_number(text)
    return text if number is None else number


def own_type(texts: Iterable[str]) -> dict[str, float | str]:
    """The values of a column of texts, by text: numbers if each text is one and no two are the same; else the texts."""
    numbers = {text: as_number(text) for text in texts}
    known = {text: number for text, number in numbers.items() if number is not None}
    if len(known) == len(numbers) == len(set(known.values())):
        return dict(known)
    return {text: text for text in numbers}


def sortable(value: Any) -> tuple[bool, float, str]:
    """Sort key for the values of any column: numbers by size, then text, None last."""
    if isinstance(value, int | float):
        return False, float(value), ""
    return value is None, math.inf, str(value)

"""Values in Hydra's override grammar: read, and written so that they are read as what they are."""

import re
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

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

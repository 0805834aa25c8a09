"""What stands in one place of a table: means, differences and p-values."""

from analysis.sheets.numbers import Estimated, difference_text, mean_text, p_text
from analysis.sheets.sheet import Text

EMPTY = "-"


def mean_place(mean: float | None, sd: float | None, decimals: int, bold: bool = False) -> Text:
    """A mean with its spread; "-" where nothing was measured."""
    return Text(EMPTY) if mean is None else Text(mean_text(mean, sd, decimals), number=True, bold=bold)


def difference_place(difference: Estimated | None, decimals: int) -> Text:
    """A difference with its interval; empty where there is none."""
    return Text() if difference is None else Text(difference_text(difference, decimals), number=True)


def p_place(p: float | None) -> Text:
    """A p-value; "-" where nothing was tested."""
    return Text(EMPTY) if p is None else Text(p_text(p), number=True)

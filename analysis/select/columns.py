"""Finding a column by the name that a user typed."""

from collections.abc import Iterable
from difflib import get_close_matches


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that does not exist.

    Args:
        kind: What the name should be, for the message: "column", "metric".
        name: What was asked for.
        known: The names that exist.
    Raises:
        ValueError: If `name` is not among `known`; it names the nearest ones, or all when none is near.
    """
    known = list(dict.fromkeys(known))
    if name in known:
        return
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"the nearest: {', '.join(near)}" if near else f"there are: {', '.join(known) or 'none'}"
    raise ValueError(f"unknown {kind} {name!r}; {hint}.")

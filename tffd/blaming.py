"""Whose fault an error is: of a part of your own, it is one of the config that names it."""

import os
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

_OF_THE_LIBRARY = "tffd."


def is_own(target: str) -> bool:
    """Tell whether a part is not the library's."""
    return not target.startswith(_OF_THE_LIBRARY)


@contextmanager
def blaming(target: str, what: str, is_suspect: bool = False) -> Iterator[None]:
    """Let any error of a part of your own be a fault of the config that names the part and the line.

    Args:
        target: Of the part.
        what: It does.
        is_suspect: Whether a part of the library is treated likewise, as it works on one of your own.
    Raises:
        ValueError: In place of whatever the part raised, but for errors that have a class of their own here.
    """
    try:
        yield
    except Exception as error:  # code of others may raise anything
        own_class = type(error).__module__.startswith((_OF_THE_LIBRARY, "hydra."))
        if own_class or not (is_suspect or is_own(target)):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        frame = ([one for one in frames if "site-packages" not in one.filename] or frames)[-1]
        reason = " ".join(str(error).split())
        place = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
        raise ValueError(f"{target}: {what} ended in {type(error).__name__}: {reason} ({place})") from error


def lacking_names(part: Any, protocol: type, also: Collection[str] = (), inherited: type | None = None) -> str:
    """The names of a protocol that a part has not, or has from a base that only raises."""
    names = [name for name in (*vars(protocol), *protocol.__annotations__) if not name.startswith("_")]
    return " and ".join(
        name
        for name in dict.fromkeys(names)
        if name in also
        or not hasattr(part, name)
        or (inherited and getattr(part, name) is getattr(inherited, name, part))
    )

"""Commands that are refused: the error that holds every fault, and how it ends the command."""

import sys
from collections.abc import Iterable

from tffd.texts import printable


class ConfigError(ValueError):
    """A config that cannot run, with every fault that was found.

    Attributes:
        faults: One line each: key, value and what to do.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        head = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(f"The configuration has {head}; nothing was started:\n  " + "\n  ".join(self.faults))


class CompositionError(ValueError):
    """Modes that do not go together, or cannot be built.

    Attributes:
        faults: One line each.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


BAD_CONFIG = 2
"""Exit code of a command that was refused."""


def refuse(error: Exception) -> None:
    """End with one message and no traceback."""
    print(*map(printable, str(error).split("\n")), sep="\n", file=sys.stderr)
    sys.exit(BAD_CONFIG)

"""Commands that a person copies into a shell: put together from words, and never a recorded text as it stands."""

import re
import shlex
from collections.abc import Sequence

NO_COMMAND = "# no command: what was recorded cannot be typed as one"

# What Hydra takes besides overrides, with the number of words that follow.
_FLAGS = {"-m": 0, "--multirun": 0} | dict.fromkeys(
    ("-cd", "--config-dir", "-cn", "--config-name", "-cp", "--config-path"), 1
)
_OVERRIDE = re.compile(r"(\+\+?|~)?[A-Za-z_][\w./@:$-]*=.*|~[A-Za-z_][\w./@:$-]*")


def command_line(words: Sequence[str]) -> str:
    """Words as a command on one line, quoted for the shell; a comment instead, where one cannot be printed."""
    return shlex.join(words) if all(word.isprintable() for word in words) else NO_COMMAND


def run_command(words: Sequence[str]) -> str:
    """A command of `run.py`, quoted for the shell; a comment instead, where a word is no override of Hydra's.

    Args:
        words: Flags such as `-m`, and overrides.
    """
    return command_line(["python", "run.py", *words]) if _are_arguments(words) else NO_COMMAND


def rebuilt(command: str) -> str | None:
    """A recorded command that starts runs, put together anew from its words; None if it is none."""
    try:
        interpreter, program, *words = shlex.split(command)
    except ValueError:  # an open quote, or too few words
        return None
    if not re.fullmatch(r"(.*/)?python[\d.]*", interpreter) or not program.endswith(".py"):
        return None
    line = command_line([interpreter, program, *words])
    return line if _are_arguments(words) and line != NO_COMMAND else None


def _are_arguments(words: Sequence[str]) -> bool:
    """Whether words are flags and overrides; what follows them is another command, however well it is quoted."""
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        flag, equals, _ = word.partition("=")
        if flag in _FLAGS:
            following = 0 if equals else _FLAGS[flag]
            if len(rest) < following or any(rest.pop().startswith("-") for _ in range(following)):
                return False
        elif not _OVERRIDE.fullmatch(word):
            return False
    return True

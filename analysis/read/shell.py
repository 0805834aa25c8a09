"""Commands that a person copies into a shell: put together from words, and never a recorded text as it stands."""

import re
import shlex
from collections.abc import Sequence

NO_COMMAND = "# no command: what was recorded cannot be typed as one"

_OVERRIDE = re.compile(r"(\+\+?|~)?[A-Za-z_][\w./@:$-]*=.*|~[A-Za-z_][\w./@:$-]*")


def command_line(words: Sequence[str]) -> str:
    """Words as a command on one line, quoted for the shell; a comment instead, where one cannot be printed."""
    return shlex.join(words) if all(word.isprintable() for word in words) else NO_COMMAND


def is_override(word: str) -> bool:
    """Whether a word is an override of Hydra's; what is none may be another command, however well it is quoted."""
    return bool(_OVERRIDE.fullmatch(word))

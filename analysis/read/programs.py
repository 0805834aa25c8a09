"""The names by which the programs are started: as a checkout has them, or as console scripts of an installed wheel."""

import os
import re
import shutil
import sys
from collections.abc import Sequence

TRUST = "TFFD_TRUST"

_CONSOLE = "tffd"
_ANALYSIS = "tffd-analysis"
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def is_console(words: Sequence[str]) -> bool:
    """Whether a command starts with the console script that trains."""
    return bool(words) and os.path.basename(words[0]) == _CONSOLE


def read_trust(words: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Take `TFFD_TRUST=mylab` off the front of a command: the packages, and the rest.

    What is no list of names stays in the rest, where it makes the command none of ours.
    """
    name, _, value = words[0].partition("=") if words else ("", "", "")
    packages = tuple(value.split(","))
    if name != TRUST or not all(_NAME.fullmatch(package) for package in packages):
        return (), list(words)
    return packages, list(words[1:])


def trust_words(packages: Sequence[str]) -> list[str]:
    """The word that lets a command trust packages; none for none."""
    return [f"{TRUST}={','.join(packages)}"] if packages else []


def console_script(is_needed: bool) -> str | None:
    """The script `tffd`, by its path where the shell does not find it; None where there is none, and none is needed."""
    return _found(_CONSOLE) or (_CONSOLE if is_needed else None)


def analysis_words() -> list[str]:
    """The words that start the analysis as it was started now."""
    return [_found(_ANALYSIS) or _ANALYSIS] if is_script() else ["python", "-m", "analysis"]


def is_script() -> bool:
    """Whether this is the console script of the analysis."""
    return bool(sys.argv) and os.path.basename(sys.argv[0]) == _ANALYSIS


def _found(script: str) -> str | None:
    beside = os.path.join(os.path.dirname(sys.executable), script)
    on_path = shutil.which(script)
    if on_path and not (os.path.isfile(beside) and not os.path.samefile(on_path, beside)):
        return script
    return beside if os.path.isfile(beside) else None

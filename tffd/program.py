"""How this program was started, so that the commands which it prints start it again when they are typed."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tffd.own_parts import VARIABLE

_ROOT = Path(__file__).parents[1]
_SOURCE = _ROOT / "run.py"

CONFIGS = next(path for path in (Path(__file__).parent / "conf", _ROOT / "conf") if path.is_dir())
"""The library's own configs: inside the package where it was installed from a wheel, beside it in a checkout."""

_CONFIG_PATH = ("--config-path", "-cp")

_of_command: list[list[str]] = []


def program_words() -> list[str]:
    """Return the words that start this program: `python run.py` or `tffd`, after TFFD_TRUST where that is set."""
    if _of_command:
        return list(_of_command[-1])
    return [*_trust_words(), *_program()]


def analysis_words() -> list[str]:
    """Return the words that start the analysis: `tffd-analysis` where this program is the console script `tffd`."""
    program = program_words()[-1]
    if os.path.basename(program) != "tffd":
        return ["python", "-m", "analysis"]
    return [os.path.join(os.path.dirname(program), "tffd-analysis")]


def work_for(words: Sequence[str]) -> None:
    """Let this process, a worker of a command, be known under the command's words, and trust what it trusts."""
    _of_command.append(list(words))
    for word in words:
        if word.startswith(f"{VARIABLE}="):
            os.environ[VARIABLE] = word.partition("=")[2]


def recorded_program() -> str:
    """Return those words as a record keeps them."""
    return shlex.join(program_words())


def with_whole_config_path(words: list[str]) -> list[str]:
    """Let a relative --config-path start from the working directory, or else from where conf/ lies.

    Hydra would look for it inside this package.
    """
    written = list(words)
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        place = index if equals else index + 1
        value = value if equals else words[place] if place < len(words) else ""
        if flag in _CONFIG_PATH and value and "://" not in value and not os.path.isabs(value):
            whole = os.path.abspath(value) if os.path.isdir(value) else str(CONFIGS.parent / value)
            written[place] = f"{flag}={whole}" if equals else whole
    return written


def _trust_words() -> list[str]:
    trust = ",".join(name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())
    return [f"{VARIABLE}={trust}"] if trust else []


def _program() -> list[str]:
    """The console script by its name where the shell finds it, else by its path; run.py where that lies elsewhere."""
    started = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path("-")
    if started.stem == "tffd" and started.is_file():
        found = shutil.which("tffd")
        return ["tffd" if found and os.path.samefile(found, started) else str(started.absolute())]
    if not _SOURCE.exists():
        return ["tffd"]
    here = Path("run.py").exists() and Path("run.py").samefile(_SOURCE)
    return ["python", "run.py" if here else str(_SOURCE)]

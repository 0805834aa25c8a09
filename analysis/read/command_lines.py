"""Command lines of run.py and tffd, written and read as words: the one place of the analysis that does either."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.read.faults import Unreadable
from analysis.read.files import read_json
from analysis.read.passwords import without_passwords
from analysis.read.programs import console_script, is_console, read_trust, trust_words
from analysis.read.yaml_text import parse_yaml, read_text

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PROGRAM = os.path.join(_ROOT, "run.py")
_INSTALLED = os.path.join(_ROOT, "tffd", "conf")  # in site-packages the configs lie inside tffd
_CONFIGS = _INSTALLED if os.path.isdir(_INSTALLED) else os.path.join(_ROOT, "conf")
_OPTIONS = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn")  # each with a value
_SEARCH_PATH = "hydra.searchpath="
_PLAIN = re.compile(r"[\w./+-]+( [\w./+-]+)*", re.ASCII)

NO_COMMAND = "# no command: what was recorded cannot be typed as one"

_OVERRIDE = re.compile(r"(\+\+?|~)?[A-Za-z_][\w./@:$-]*=.*|~[A-Za-z_][\w./@:$-]*")


@dataclass(frozen=True)
class Origin:
    """How a command was started, besides its settings.

    Attributes:
        options: Where it took configs from, if not from conf/config.yaml: "--config-dir", a directory, ...
        cwd: The directory that its relative paths start from; None if that was not recorded.
        is_console: Whether it was the console script, tffd, and not run.py.
        trust: The packages that it trusted, by TFFD_TRUST.
    """

    options: tuple[str, ...] = ()
    cwd: str | None = None
    is_console: bool = False
    trust: tuple[str, ...] = ()

    def is_elsewhere(self) -> bool:
        """Whether paths relative to the present directory would be others for the command."""
        return self.cwd is not None and os.path.isdir(self.cwd) and not _is_same(self.cwd, os.getcwd())


@dataclass(frozen=True)
class Command:
    """The words of a command; what stands in `Origin` means the same here."""

    options: tuple[str, ...]
    overrides: tuple[str, ...]
    is_console: bool = False
    trust: tuple[str, ...] = ()

    def origin(self, cwd: str | None = None) -> Origin:
        """How it was started."""
        return Origin(self.options, cwd, self.is_console, self.trust)


def write_command(overrides: Iterable[str], origin: Origin = Origin(), multirun: bool = False) -> str:
    """Write the command that starts one run, or with `multirun` a sweep; quoted for the shell.

    It can be typed in the present directory: where it was first started from another, it changes to that. Where a word
    is no override of Hydra's, or cannot be printed, a comment stands in its place.
    """
    overrides = tuple(overrides)
    if not all(is_override(word) for word in overrides):
        return NO_COMMAND
    start = origin.cwd if origin.cwd and origin.is_elsewhere() else os.getcwd()
    program = [*trust_words(origin.trust), *_program(origin, start)]
    text = command_line([*program, *["-m"] * multirun, *origin.options, *overrides])
    if text == NO_COMMAND or not origin.is_elsewhere():
        return text
    return f"{command_line(['cd', start])} && {text}" if start.isprintable() else NO_COMMAND


def _program(origin: Origin, start: str) -> list[str]:
    """The words of the program itself, for a shell in a directory."""
    is_source = os.path.isfile(_PROGRAM)
    if script := console_script(is_needed=not is_source) if origin.is_console or not is_source else None:
        return [script]
    elsewhere = is_source and origin.cwd is not None and not _is_same(start, _ROOT)
    return ["python", _PROGRAM if elsewhere else "run.py"]


def read_command(text: str) -> Command | None:
    """Read a recorded command into words; None if it is none of ours, so that nothing else is ever shown."""
    try:
        words = without_passwords(shlex.split(text))
    except ValueError:  # an open quote
        return None
    trust, words = read_trust(words)
    if console := is_console(words):
        words = words[1:]
    elif words[:1] == ["python"] and os.path.basename("".join(words[1:2])) == "run.py":
        words = words[2:]
    else:
        return None
    options, overrides = [], []
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        flag, equals, value = word.partition("=")
        if flag in _OPTIONS:
            value = value if equals else rest.pop() if rest else ""
            if not value or value.startswith("-"):
                return None
            options += [flag, value]
        elif word.startswith(_SEARCH_PATH):
            options.append(word)
        elif is_override(word):
            overrides.append(word)
        elif word not in ("-m", "--multirun"):
            return None
    if not all(word.isprintable() for word in words):
        return None
    return Command(tuple(options), tuple(overrides), console, trust)


def read_origin(run: str) -> Origin:
    """How a run was started, from what Hydra recorded in its directory; an empty one where it did not."""
    try:
        recorded: Any = parse_yaml(read_text(os.path.join(run, ".hydra", "hydra.yaml")))["hydra"]
        sources, name = recorded["runtime"]["config_sources"], recorded["job"]["config_name"] or "config"
        options = []
        for flag, provider, usual in (("--config-path", "main", _CONFIGS), ("--config-dir", "command-line", "")):
            places = [str(source["path"]) for source in sources if source["provider"] == provider]
            options += [word for place in places if place and place != usual for word in (flag, place)]
        if name != "config":
            options += ["--config-name", str(name)]
        elif options[:1] == ["--config-path"] and _is_that_of_another_machine(options[1]):
            del options[:2]
        options += [word for word in recorded["overrides"]["hydra"] if str(word).startswith(_SEARCH_PATH)]
        return Origin(tuple(options), str(recorded["runtime"]["cwd"]), *_read_program(run))
    except (OSError, Unreadable, TypeError, KeyError):
        return Origin()


def _read_program(run: str) -> tuple[bool, tuple[str, ...]]:
    """Whether a run was started by the console script, and the packages that it trusted; what its record says."""
    try:
        result: Any = read_json(os.path.join(run, "result.json"))
        trust, words = read_trust(shlex.split(str(result["program"])))
    except (OSError, ValueError, TypeError, KeyError):
        return False, ()
    return is_console(words), trust


def assign(key: str, value: str) -> str:
    """The override that sets a key to a text, in Hydra's quotes where its grammar needs them."""
    if _PLAIN.fullmatch(value) and not _is_no_text(value):
        return f"{key}={value}"
    # Backslashes count only before a quote: those are doubled, and the quote gets one more.
    escaped = re.sub(r"(\\+)$", r"\1\1", re.sub(r"(\\*)'", r"\1\1\\'", value))
    return f"{key}='{escaped}'"


def place_words(directory: str, origin: Origin, recorded: str | None, name: str | None) -> dict[str, str]:
    """The settings that put runs into a sweep's directory, where it lies now: `name`, and `results_dir` if it moved.

    Args:
        directory: That holds the sweep.
        origin: Of the sweep.
        recorded: Where it lay when it was started, as an absolute path; None if that was not recorded.
        name: The sweep's name then.
    """
    if recorded is None or (_is_same(directory, recorded) and not origin.is_elsewhere()):
        return {"name": name} if name else {}
    parent, here = os.path.split(os.path.abspath(directory))
    return {"results_dir": shown_path(parent, origin), "name": here}


def shown_path(directory: str, origin: Origin) -> str:
    """A directory as a command of that origin takes it: short where it lies below the present directory."""
    below = os.path.relpath(directory)
    return os.path.abspath(directory) if origin.is_elsewhere() or below.startswith("..") else below


def replaced(overrides: Sequence[str], settings: Mapping[str, str]) -> tuple[str, ...]:
    """Overrides with other values of some keys, at the end."""
    keys = [word.partition("=")[0].lstrip("+") for word in overrides]
    kept = [word for word, key in zip(overrides, keys, strict=True) if key not in settings]
    return (*kept, *(assign(key, value) for key, value in settings.items()))


def _is_no_text(word: str) -> bool:
    """Whether Hydra reads a plain word as a number, a truth value or nothing."""
    try:
        float(word)
    except ValueError:
        return word.lower() in ("null", "true", "false")
    return True


def _is_that_of_another_machine(configs: str) -> bool:
    """Whether a path is that of this program's configs where the results came from: here it could not be typed."""
    return os.path.basename(configs) == os.path.basename(_CONFIGS) and not os.path.isdir(configs)


def _is_same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def command_line(words: Sequence[str]) -> str:
    """Words as a command on one line, quoted for the shell; a comment instead, where one cannot be printed."""
    return shlex.join(words) if all(word.isprintable() for word in words) else NO_COMMAND


def is_override(word: str) -> bool:
    """Whether a word is an override of Hydra's; what is none may be another command, however well it is quoted."""
    return bool(_OVERRIDE.fullmatch(word))

"""Hydra's overrides: what a run was started with, and the command that starts one cell of a plan."""

import os
from collections.abc import Container, Iterable, Mapping

from analysis.read.command_lines import Origin, assign, write_command
from analysis.read.faults import Unreadable
from analysis.read.passwords import without_passwords
from analysis.read.plans import Cell, Sweep
from analysis.read.yaml_text import parse_yaml, read_text

# What makes a sweep; a single run refuses it.
_SWEEP_ONLY = ("sweep", "ablation", "hydra")


def read_overrides(run: str) -> tuple[str, ...]:
    """Read the words `key=value` that Hydra recorded for a run, () if none."""
    try:
        words = _words(read_text(os.path.join(run, ".hydra", "overrides.yaml")))
    except (OSError, Unreadable):
        return ()  # the columns of result.json, if any, have to do
    return tuple(without_passwords(word) for word in words if "=" in word)


def _words(text: str) -> list[str]:
    """The list of words that YAML text is; what has one line a word, as nearly all have, needs no parser.

    Raises:
        Unreadable: If it is not YAML.
    """
    lines = text.splitlines()
    # YAML goes on in another line after 80 characters, and has escapes in double quotes.
    if all(line.startswith("- ") and not line.startswith('- "') for line in lines):
        return [_unquote(line.removeprefix("- ")) for line in lines]
    parsed = parse_yaml(text)
    return [word for word in parsed if isinstance(word, str)] if isinstance(parsed, list) else []


def as_pairs(overrides: Iterable[str]) -> dict[str, str]:
    """Key to value; `+key=value` adds what the config lacks, and is `key` too."""
    pairs = (word.partition("=") for word in overrides)
    return {key.lstrip("+"): value for key, _, value in pairs}


def single_overrides(fixed: Iterable[str], cell: Mapping[str, str], place: Mapping[str, str]) -> tuple[str, ...]:
    """What starts one cell of a sweep as a run of its own, in the sweep's directory."""
    kept = kept_overrides(fixed, {*place, *cell})
    written = (f"{key}={value}" for key, value in cell.items())
    return (*kept, *(assign(key, value) for key, value in place.items() if key not in cell), *written)


def kept_overrides(fixed: Iterable[str], replaced: Container[str]) -> list[str]:
    """What holds for every run of a sweep, without what makes the sweep and without the keys that are replaced."""
    return [word for word in fixed if not _sweep_only(key_of(word)) and key_of(word) not in replaced]


def single_command(overrides: Iterable[str], origin: Origin | None = None) -> str:
    """The command of a single run, quoted for the shell."""
    return write_command(overrides, origin or Origin())


def grid_command(overrides: Iterable[str], launcher: Iterable[str] = (), origin: Origin | None = None) -> str:
    """The command of a grid, quoted for the shell.

    Args:
        overrides: Some with several values.
        launcher: Hydra's own, that say where the runs are sent.
        origin: How the runs were started that it repeats.
    """
    return write_command((*launcher, *overrides), origin or Origin(), multirun=True)


def cell_overrides(sweep: Sweep, cell: Cell) -> tuple[str, ...] | None:
    """The overrides of a single run that fills a planned cell; None if the plan does not say what else holds."""
    return None if sweep.fixed is None else single_overrides(sweep.fixed, cell, sweep.place)


def key_of(word: str) -> str:
    """The key that an override sets, adds (`+key=value`) or removes (`~key`)."""
    return word.partition("=")[0].lstrip("+~")


def _sweep_only(key: str) -> bool:
    return key.replace("/", ".").partition(".")[0] in _SWEEP_ONLY


def _unquote(word: str) -> str:
    """YAML writes a word in quotes where it has to, doubling those that it holds."""
    return word[1:-1].replace("''", "'") if len(word) > 1 and word[0] == word[-1] == "'" else word

"""Hydra's overrides: what a run was started with, and the command that starts one cell of a plan."""

import os
import shlex
from collections.abc import Iterable, Mapping

from analysis.plan import Cell, Sweep

# What makes a sweep; a single run refuses it.
_SWEEP_ONLY = ("sweep", "ablation", "hydra")


def read_overrides(run: str) -> tuple[str, ...]:
    """Read the lines `- key=value` that Hydra wrote for a run, () if none; a list of words needs no YAML parser."""
    try:
        with open(os.path.join(run, ".hydra", "overrides.yaml"), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, ValueError):
        return ()  # the columns of result.json, if any, have to do
    return tuple(_unquote(line.removeprefix("- ")) for line in lines if "=" in line)


def as_pairs(overrides: Iterable[str]) -> dict[str, str]:
    """Key to value; `+key=value` adds what the config lacks, and is `key` too."""
    pairs = (word.partition("=") for word in overrides)
    return {key.lstrip("+"): value for key, _, value in pairs}


def single_overrides(fixed: Iterable[str], cell: Mapping[str, str], name: str | None) -> tuple[str, ...]:
    """What starts one cell of a sweep as a run of its own, in the sweep's directory."""
    cell = {"name": name, **cell} if name else dict(cell)
    kept = [word for word in fixed if not _sweep_only(_key(word)) and _key(word) not in cell]
    return (*kept, *(f"{key}={value}" for key, value in cell.items()))


def single_command(overrides: Iterable[str]) -> str:
    """The command of a single run, quoted for the shell."""
    return shlex.join(["python", "run.py", *overrides])


def cell_overrides(sweep: Sweep, cell: Cell) -> tuple[str, ...] | None:
    """The overrides of a single run that fills a planned cell; None if the plan does not say what else holds."""
    return None if sweep.fixed is None else single_overrides(sweep.fixed, cell, sweep.name)


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _sweep_only(key: str) -> bool:
    return key.replace("/", ".").partition(".")[0] in _SWEEP_ONLY


def _unquote(word: str) -> str:
    """YAML writes a word in quotes where it has to, doubling those that it holds."""
    if len(word) > 1 and word[0] == word[-1] == "'":
        return word[1:-1].replace("''", "'")
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' else word

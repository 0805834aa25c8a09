"""`sweep.json`: what a sweep planned."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.read.command_lines import Origin, place_words, read_command, replaced, write_command
from analysis.read.faults import Fault, Unreadable
from analysis.read.files import read_json

Cell = Mapping[str, str]


@dataclass(frozen=True)
class Study:
    """One study of a sweep: `kind` is "grid" or "search"; `cells` (grids) are overrides, key to value."""

    name: str
    kind: str
    n_trials: int
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """A `sweep.json`.

    Attributes:
        path: Its directory.
        studies: In the order in which they run.
        name: The sweep's.
        directions: "minimize" or "maximize" by objective, a field of `result.json`; None if it was not written.
        command: What starts the sweep; it goes on where it stopped. It is written anew from the words that were
            recorded, for where the sweep lies now; None if these are no command of run.py or tffd.
        seeds: Of every trial of a search, which then has a directory a seed; None for one run a trial.
        space: What a search varies, key to text.
        fixed: Overrides that hold for every trial; None if they were not written.
        origin: How and from where the sweep was started.
        place: The settings that put a run into this sweep's directory.
    """

    path: str
    studies: tuple[Study, ...]
    name: str | None = None
    directions: Mapping[str, str | None] = field(default_factory=dict)
    command: str | None = None
    seeds: tuple[int, ...] | None = None
    space: Mapping[str, str] = field(default_factory=dict)
    fixed: tuple[str, ...] | None = None
    origin: Origin = field(default_factory=Origin)
    place: Mapping[str, str] = field(default_factory=dict)


def read_sweep(path: str) -> Sweep:
    """Read a `sweep.json`.

    Raises:
        OSError: If it cannot be read.
        Unreadable: If it is not a sweep's plan.
    """
    plan = read_json(path)
    if not isinstance(plan, dict) or not isinstance(plan.get("studies"), list):
        raise Unreadable(Fault.NOT_A_PLAN, "is not an object with a list of studies")
    for key in ("name", "objective", "direction", "command", "cwd", "results_dir"):
        if not (plan.get(key) is None or isinstance(plan[key], str)):
            raise Unreadable(Fault.WRONG_TYPE, f"has {key} = {plan[key]!r}, which is not a string")
    seeds = _read_list(plan, "seeds", int)
    space = plan.get("space") or {}
    if not isinstance(space, dict):
        raise Unreadable(Fault.WRONG_TYPE, f"has space = {space!r}, which is not an object")
    directory, name, recorded = os.path.dirname(path), plan.get("name"), plan.get("results_dir")
    command = read_command(plan.get("command") or "")
    origin = command.origin(plan.get("cwd")) if command else Origin((), plan.get("cwd"))
    place = place_words(directory, origin, recorded and os.path.join(recorded, name or ""), name)
    moved = place if "results_dir" in place else {}
    return Sweep(
        path=directory,
        studies=tuple(_read_study(study) for study in plan["studies"]),
        name=name,
        directions=_read_directions(plan),
        command=write_command(replaced(command.overrides, moved), origin, multirun=True) if command else None,
        seeds=tuple(seeds) if seeds else None,
        space={key: str(text) for key, text in space.items()},
        fixed=None if plan.get("fixed") is None else tuple(_read_list(plan, "fixed", str)),
        origin=origin,
        place=place,
    )


def _read_list(plan: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    values = plan.get(key)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise Unreadable(Fault.WRONG_TYPE, f"has {key} = {values!r}, which is not a list of {kind.__name__}")
    return values


def _read_directions(plan: Mapping[str, Any]) -> dict[str, str | None]:
    """Objectives and directions: the lists, or the single fields of a sweep that wrote none."""
    objectives = _read_list(plan, "objectives", str)
    directions = _read_list(plan, "directions", str)
    if not objectives and plan.get("objective"):
        objectives, directions = [plan["objective"]], [plan.get("direction")]
    if len(directions) != len(objectives):
        directions = [None] * len(objectives)
    return dict(zip(objectives, directions, strict=True))


def _read_study(study: Any) -> Study:
    if not isinstance(study, dict) or not isinstance(study.get("study"), str):
        raise Unreadable(Fault.NOT_A_PLAN, "has a study without a name")
    cells, kind = study.get("cells") or [], study.get("kind")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        reason = f"has a study, {study['study']}, whose cells are not a list of objects"
        raise Unreadable(Fault.NOT_A_PLAN, reason)
    n_trials = study.get("n_trials", len(cells))
    if kind not in ("grid", "search") or not isinstance(n_trials, int) or n_trials < 0:
        reason = f"has a study, {study['study']}, without a kind (grid or search) or n_trials of 0 or more"
        raise Unreadable(Fault.NOT_A_PLAN, reason)
    texts = ({key: str(value) for key, value in cell.items()} for cell in cells)
    return Study(study["study"], kind, n_trials, tuple(texts))

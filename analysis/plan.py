"""`sweep.json`: what a sweep planned."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    """A `sweep.json`; `path` is its directory."""

    path: str
    studies: tuple[Study, ...]
    name: str | None = None
    objective: str | None = None
    direction: str | None = None
    command: str | None = None


def read_sweep(path: str) -> Sweep:
    """Read a `sweep.json`.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not a sweep's plan; the message says what is wrong with it.
    """
    with open(path, "rb") as file:
        content = file.read()
    try:
        plan = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from error
    if not isinstance(plan, dict) or not isinstance(plan.get("studies"), list):
        raise ValueError("is not an object with a list of studies")
    studies = tuple(_read_study(study) for study in plan["studies"])
    texts = {key: plan.get(key) for key in ("name", "objective", "direction", "command")}
    for key, text in texts.items():
        if not (text is None or isinstance(text, str)):
            raise ValueError(f"has {key} = {text!r}, which is not a string")
    return Sweep(os.path.dirname(path), studies, **texts)


def _read_study(study: Any) -> Study:
    if not isinstance(study, dict) or not isinstance(study.get("study"), str):
        raise ValueError("has a study without a name")
    cells, kind = study.get("cells") or [], study.get("kind")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ValueError(f"has a study, {study['study']}, whose cells are not a list of objects")
    n_trials = study.get("n_trials", len(cells))
    if kind not in ("grid", "search") or not isinstance(n_trials, int):
        raise ValueError(f"has a study, {study['study']}, without a kind (grid or search) or n_trials")
    texts = ({key: str(value) for key, value in cell.items()} for cell in cells)
    return Study(study["study"], kind, n_trials, tuple(texts))

"""Which teachers the trials of a sweep learn from that are not trained yet: runs of their own, before the trials."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig

from tffd.config import require_config
from tffd.identity import hash_config, teacher_run
from tffd.instantiation import uses_teacher
from tffd.records import TEACHER
from tffd.refusal import ConfigError
from tffd.schema import Config
from tffd.sweep.arguments import Cell, trial_overrides
from tffd.teacher import AUTO, find_teacher

DROPPED = ("model", "kd_mode", "teacher")
"""Sections of a student's command that do not hold for its teacher's run."""


class Teachers:
    """Collects the teachers of a sweep's configs, as cells of a grid.

    Args:
        fixed: Overrides that hold for every trial.
        compose: Composes the config of a trial.
    """

    def __init__(self, fixed: Sequence[str], compose: Callable[[list[str]], DictConfig]) -> None:
        self._fixed, self._compose = fixed, compose
        self._cells: dict[str, Cell | None] = {}

    @property
    def cells(self) -> list[Cell]:
        """The overrides of each teacher's run."""
        return [cell for cell in self._cells.values() if cell is not None]

    def waits_for(self, config: Config, overrides: Sequence[str]) -> bool:
        """Tell whether a trial waits for a teacher that this sweep trains, and remember which.

        Where the command of the teacher's run cannot be told from the student's, the first student trains it.

        Args:
            config: The config of the trial.
            overrides: The overrides that it was composed of.
        """
        if not uses_teacher(config) or config.teacher.checkpoint != AUTO:
            return False
        run_hash = hash_config(teacher_run(config)).run
        if run_hash not in self._cells:
            found = find_teacher(config)
            own = Path(config.results_dir) / config.name / TEACHER
            is_ours = found is None or found.absolute().is_relative_to(own.absolute())
            self._cells[run_hash] = self._cell(config, overrides, run_hash) if is_ours else None
        return self._cells[run_hash] is not None

    def _cell(self, config: Config, overrides: Sequence[str], run_hash: str) -> Cell | None:
        cell = {"model": config.teacher.name, "kd_mode": "none", "teacher": "none", "seed": "0"}
        for word in overrides:
            key, _, value = word.lstrip("+").partition("=")
            if key.startswith("teacher.trainer."):
                cell[key.removeprefix("teacher.")] = value
            elif key.startswith("teacher.") and key != "teacher.checkpoint":
                cell[key.replace("teacher.", "model.", 1)] = value
            elif word not in self._fixed and key not in cell and key.partition(".")[0] not in DROPPED:
                cell[key] = value
        try:
            composed = require_config(self._compose(trial_overrides(kept(self._fixed), cell)))
        except (HydraException, ConfigError):
            return None
        return cell if hash_config(composed).run == run_hash else None


def kept(fixed: Sequence[str], dropped: Sequence[str] = DROPPED) -> list[str]:
    """Leave out the settings below some sections."""
    sections = tuple(f"{name}." for name in dropped)
    return [word for word in fixed if not word.lstrip("+~").startswith(sections)] if sections else list(fixed)

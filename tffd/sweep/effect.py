"""Refuses settings of a sweep that would be read and then do nothing, or something else than they say."""

from omegaconf import DictConfig, OmegaConf
from optuna.pruners import NopPruner

from tffd.schema import SweepSection
from tffd.sweep.samplers import make_pruner
from tffd.sweep.space import Arguments

_OF_THE_COMMAND = ("sweep", "ablation", "hydra", "name", "results_dir")
"""Keys and groups that hold for all trials of a sweep."""

_OF_SEARCHES = ("sweep.n_trials", "sweep.enqueue", "sweep.when", "sweep.baseline", "sweep.sampler")

_OF_STOCK_SWEEPERS = {"hydra.sweeper": "sweep.n_trials and its neighbours", "hydra.sweep": "results_dir and name"}
"""Settings of Hydra's own sweepers, and what takes their place here."""


def require_effect(arguments: Arguments, base: DictConfig) -> None:
    """Refuse to search settings of the sweep itself, and settings of other sweepers.

    Raises:
        ValueError: If the command has one.
    """
    for key, text in arguments.varied.items():
        if key.replace("/", ".").partition(".")[0] in _OF_THE_COMMAND:
            raise ValueError(f"{key}={text}: holds for a whole sweep; start one command for each value")
    for override in OmegaConf.select(base, "hydra.overrides.hydra") or ():
        for key, instead in _OF_STOCK_SWEEPERS.items():
            if override.lstrip("+").startswith(f"{key}."):
                raise ValueError(f"{override}: is for Hydra's own sweepers; use {instead}, or hydra/sweeper=optuna")
    _require_same_for_stock_sweeper(base)


def _require_same_for_stock_sweeper(base: DictConfig) -> None:
    """A file may set the stock sweeper's search too; beside ours it says the same, or it would be passed over."""
    for name, ours in (("params", "space"), ("n_trials", "n_trials"), ("direction", "direction")):
        theirs, own = OmegaConf.select(base, f"hydra.sweeper.{name}"), OmegaConf.select(base, f"sweep.{ours}")
        if theirs is None or theirs == own:
            continue
        value = theirs
        if isinstance(theirs, DictConfig):
            differing = (str(key) for key in theirs if own is None or own.get(key) != theirs[key])
            key = next(differing, "")
            name, value = f"{name}.{key}", theirs.get(key)
        raise ValueError(
            f"hydra.sweeper.{name}={value}: is for Hydra's own sweepers and does not hold here; set sweep.{ours}, or "
            "use hydra/sweeper=optuna"
        )


def require_fit_for_grid(sweep: SweepSection, arguments: Arguments) -> None:
    """Refuse what only searches have.

    Raises:
        ValueError: If a grid was given it.
    """
    if sweep.seeds:
        raise ValueError(f"sweep.seeds={sweep.seeds}: is for searches; a grid lists them, such as seed=1,2,3")
    if not isinstance(make_pruner(sweep), NopPruner):
        raise ValueError("sweep/pruner: a grid runs every cell to its end; leave the pruner out")
    for override in arguments.fixed:
        key = override.partition("=")[0].lstrip("+").replace("/", ".")
        if f"{key}.".startswith(tuple(f"{name}." for name in _OF_SEARCHES)):
            raise ValueError(f"{override}: is for searches; a grid runs each of its cells once. Leave it out")

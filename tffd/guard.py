"""What stands between a command line and Hydra's acting on it.

Hydra calls a config's callbacks first of all, and the config says which, so no callback can be the one that checks it.
It offers no other place; these two functions of it are therefore wrapped.
"""

import functools
import inspect
import sys
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra.errors import ConfigCompositionException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig

from tffd.choices import all_modes, describe_composition, missing_choices, removed_groups
from tffd.refusal import ConfigError, refuse
from tffd.trust import find_distrust


def guard_hydra() -> None:
    """Refuse names that no group has, and configs that would run what is not ours, before anything is started."""
    if not hasattr(Hydra.compose_config, "__wrapped__"):
        Hydra.compose_config = _composing_known_choices(Hydra.compose_config)  # type: ignore[method-assign]
        Callbacks.__init__ = _calling_what_is_trusted(Callbacks.__init__)  # type: ignore[method-assign]


def _composing_known_choices(compose: Any) -> Any:
    begin = inspect.signature(compose)

    @functools.wraps(compose)
    def composed(self: Hydra, *args: Any, **kwargs: Any) -> DictConfig:
        try:
            call = begin.bind(self, *args, **kwargs)
            if faults := removed_groups(call.arguments["overrides"], self.config_loader.get_group_options):
                _refuse(faults)
            every = all_modes(call.arguments["overrides"]) if call.arguments["run_mode"] == RunMode.MULTIRUN else None
            if every is not None:
                call.arguments["overrides"] = [*call.arguments["overrides"], every]
                call.arguments["parsed_overrides"] = None
            config: DictConfig = compose(*call.args, **call.kwargs)
            if every is not None:
                config.hydra.overrides.task = [word for word in config.hydra.overrides.task if word != every]
        except (ConfigCompositionException, OverrideParseException) as error:
            _refuse([describe_composition(error, self.config_loader.get_group_options)])
            raise
        if faults := missing_choices(config, self.config_loader.get_group_options):
            _refuse(faults)
        return config

    return composed


def _calling_what_is_trusted(begin: Any) -> Any:
    @functools.wraps(begin)
    def begun(self: Callbacks, config: DictConfig | None = None) -> None:
        if config is not None and (faults := find_distrust(config, sys.argv[1:])):
            _refuse(faults)
        begin(self, config)

    return begun


def _refuse(faults: list[str]) -> None:

    refuse(ConfigError(faults))

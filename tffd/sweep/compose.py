"""Composes the configs of a sweep's runs, most of which differ in a few values alone."""

import copy
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import Container, DictConfig, OmegaConf

from tffd.choices import missing_choices
from tffd.config import ConfigError


class Composer:
    """Does Hydra's work once for all configs that differ in the values of plain keys, and copies it.

    Hydra takes a tenth of a second a config, most of it for the groups, and a free device waits for it.

    Args:
        loader: Hydra's config loader.
        base: Composed config of the command, with Hydra's node.
    """

    def __init__(self, loader: Any, base: DictConfig) -> None:
        self._loader, self._base = loader, base
        self._parser = OverridesParser.create()
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: list[str]) -> DictConfig:
        """Return what Hydra composes from these overrides on top of the primary config.

        Raises:
            HydraException: If it cannot.
            ConfigError: If a choice names no file of its group.
        """
        parsed = self._without_other_modes(self._parser.parse_overrides(overrides))
        overrides = [str(override.input_line) for override in parsed]
        late = [override for override in parsed if self._sets_a_value(override)]
        config = copy.deepcopy(self._shared([str(override.input_line) for override in parsed if override not in late]))
        if not all(_is_leaf(config, override.key_or_group) for override in late):
            return self._full(overrides)  # or it says what is wrong
        for override in late:  # as Hydra does once the groups are composed
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        config.hydra.overrides.task = [override.input_line for override in parsed if not override.is_hydra_override()]
        return config

    def _without_other_modes(self, parsed: list[Override]) -> list[Override]:
        """Leave out the settings of kd_modes that a run does not have: they hold for those that have them."""
        settings = [override for override in parsed if override.key_or_group.startswith("kd_mode.")]
        if not settings:
            return parsed
        groups = [override for override in parsed if self._loader.get_group_options(override.key_or_group)]
        modes = self._shared([str(override.input_line) for override in groups]).kd_mode
        idle = [override for override in settings if override.key_or_group.split(".")[1] not in modes]
        return [override for override in parsed if override not in idle]

    def _shared(self, overrides: list[str]) -> DictConfig:
        key = tuple(overrides)
        if key not in self._composed:
            self._composed[key] = self._full(overrides)
        return self._composed[key]

    def _full(self, overrides: list[str]) -> DictConfig:
        config: DictConfig = self._loader.load_sweep_config(self._base, overrides)
        if faults := missing_choices(config, self._loader.get_group_options):
            raise ConfigError(faults)
        config.name = self._base.name  # whatever an experiment that is varied calls itself
        return config

    def _sets_a_value(self, override: Override) -> bool:
        plain = override.type is OverrideType.CHANGE and override.package is None and not override.is_hydra_override()
        key = override.key_or_group
        return plain and _is_leaf(self._base, key) and not self._loader.get_group_options(key)


def _is_leaf(config: DictConfig, key: str) -> bool:
    """Tell whether a config has a value of its own at a key, which an override then simply replaces."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and name in node and not isinstance(node._get_node(name), Container)

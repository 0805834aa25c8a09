"""Composes the configs of a sweep's runs, with the device and the precision that they will have."""

import copy
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import Container, DictConfig, OmegaConf

from tffd.checks import trains_elsewhere
from tffd.choices import missing_choices
from tffd.machine import DeviceMissing, effective_device, effective_precision
from tffd.refusal import ConfigError
from tffd.sweep.plan import Compose


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


def with_effective_device(compose: Compose, base: DictConfig) -> Compose:
    """Let the configs of a sweep's runs name the device and the precision that `auto` comes to.

    On this machine that is what PyTorch sees. On a cluster auto means what its jobs are asked for: cuda where the
    launcher asks for GPUs, cpu where it asks for none (gpus_per_node=0), and bf16 on cuda. Where the launcher leaves
    it open, auto is refused: a job might train on a CPU in silence.

    Args:
        compose: Makes the configs.
        base: Of the command, with Hydra's node. What takes effect is written into it too, as far as it is known.
    Raises:
        ConfigError: If a device is auto that CUDA_VISIBLE_DEVICES names in vain; by what is returned, also if the
            device cannot be known.
    """
    elsewhere = trains_elsewhere(base)

    def composed(overrides: list[str]) -> DictConfig:
        config = compose(overrides)
        _write_effective(config, base, elsewhere)
        if OmegaConf.select(config, "device") == "auto":
            raise ConfigError(
                [
                    "device=auto: it cannot be known from here whether the jobs of SLURM have a GPU, as "
                    "hydra.launcher.gpus_per_node is null; set hydra.launcher.gpus_per_node=1, or device=cpu"
                ]
            )
        return config

    _write_effective(base, base, elsewhere)
    return composed


def _write_effective(config: DictConfig, base: DictConfig, elsewhere: bool) -> None:
    if OmegaConf.select(config, "device") == "auto":
        config.device = _device_of_jobs(base) if elsewhere else _device_here()
    device = OmegaConf.select(config, "device")
    if OmegaConf.select(config, "trainer.precision") != "auto" or device not in ("cpu", "cuda"):
        return
    # The card of this machine says nothing about those of a cluster.
    config.trainer.precision = "bf16" if elsewhere and device == "cuda" else effective_precision("auto", device)


def _device_here() -> str:
    try:
        return effective_device("auto").type
    except DeviceMissing as error:
        raise ConfigError([str(error)]) from error


def _device_of_jobs(base: DictConfig) -> str:
    """Return cuda or cpu, as the jobs of a cluster are asked to have GPUs or none; auto if the launcher is open."""
    launcher = base.hydra.launcher
    settings = {key: launcher.get(key) for key in ("gpus_per_node", "gpus_per_task", "gres")}
    settings |= launcher.get("additional_parameters") or {}  # of sbatch, such as {gpus: 1}
    numbers = [
        str(value).rpartition(":")[2]  # 1 of gpu:a100:1
        for key, value in settings.items()
        if value is not None and "gpu" in f"{key} {value}"
    ]
    if not numbers:
        return "auto"
    return "cuda" if any(number != "0" for number in numbers) else "cpu"

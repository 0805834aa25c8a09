"""Composes the configs of a sweep's runs, with the device and the precision that they will have."""

import copy
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tffd.checks import trains_elsewhere
from tffd.choices import missing_choices
from tffd.machine import DeviceMissing, device_type, effective_precision
from tffd.refusal import ConfigError
from tffd.sweep.plan import Compose

_PLAIN = (str, int, float, type(None))
_MOST_KEPT = 32  # composed configs; each takes a megabyte


class Composer:
    """Composes the config of a run as Hydra does, without the settings of kd_modes that the run does not have.

    Hydra reads twenty files for each, so what it composes of the same choices is kept, and values are set in a copy.

    Args:
        loader: Hydra's config loader.
        base: The composed config of the command, with Hydra's node.
    """

    def __init__(self, loader: Any, base: DictConfig) -> None:
        self._loader, self._base = loader, base
        self._parser = OverridesParser.create()
        self._kept: dict[tuple[str, ...], DictConfig] = {}
        self._groups: dict[str, bool] = {}

    def __call__(self, overrides: list[str]) -> DictConfig:
        """Return what Hydra composes from these overrides on top of the primary config.

        Raises:
            HydraException: If it cannot.
            ConfigError: If a choice names no file of its group.
        """
        parsed = self._parser.parse_overrides(overrides)
        settings = [override for override in parsed if override.key_or_group.startswith("kd_mode.")]
        if settings:
            modes = set(self._composed([override for override in parsed if self._is_choice(override)]).kd_mode)
            idle = [override for override in settings if override.key_or_group.split(".")[1] not in modes]
            parsed = [override for override in parsed if override not in idle]
        values = self._last_values(parsed)
        config = copy.deepcopy(self._composed([override for override in parsed if override not in values]))
        try:
            for value in values:
                OmegaConf.update(config, value.key_or_group, value.value())
            config.hydra.overrides.task = [str(line.input_line) for line in parsed if not line.is_hydra_override()]
        except OmegaConfBaseException:
            config = copy.deepcopy(self._composed(parsed))  # which says what is wrong
        config.name = self._base.name  # whatever an experiment that is varied calls itself
        return config

    def _is_choice(self, override: Override) -> bool:
        key = override.key_or_group
        if key not in self._groups:
            self._groups[key] = bool(self._loader.get_group_options(key))
        return self._groups[key]

    def _last_values(self, parsed: list[Override]) -> list[Override]:
        """The overrides at the end that give a key a plain value: Hydra sets them last, whatever files there are."""
        values: list[Override] = []
        for override in reversed(parsed):
            if self._is_choice(override):
                continue  # Hydra looks at these first
            key, is_plain = override.key_or_group, override.type is OverrideType.CHANGE and override.package is None
            if not is_plain or key.startswith("hydra") or not isinstance(override.value(), _PLAIN):
                break
            values.insert(0, override)
        return values

    def _composed(self, overrides: list[Override]) -> DictConfig:
        """What Hydra composes, to be copied and not to be changed."""
        lines = tuple(str(override.input_line) for override in overrides)
        if lines not in self._kept:
            config: DictConfig = self._loader.load_sweep_config(self._base, list(lines))
            if faults := missing_choices(config, self._loader.get_group_options):
                raise ConfigError(faults)
            while len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[lines] = config
        return self._kept[lines]


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
        return device_type("auto")
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

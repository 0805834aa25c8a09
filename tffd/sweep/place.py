"""On which device and in which precision the runs of a sweep are: decided once, and written into their configs.

A run that then finds another device fails by name. Its identity is the same wherever it is worked out, on a login node
without a GPU too, for nothing is left to be looked up.
"""

import torch
from omegaconf import DictConfig, OmegaConf

from tffd.checks import trains_elsewhere
from tffd.machine import resolve_precision
from tffd.refusal import ConfigError
from tffd.sweep.plan import Compose


def settled(compose: Compose, base: DictConfig) -> Compose:
    """Let the configs of a sweep's runs name the device and the precision that `auto` comes to.

    On this machine that is what PyTorch sees. On a cluster auto means what its jobs are asked for: cuda where the
    launcher asks for GPUs, cpu where it asks for none (gpus_per_node=0), and bf16 on cuda. Where the launcher leaves
    it open, auto is refused: a job might train on a CPU in silence.

    Args:
        compose: Makes the configs.
        base: Of the command, with Hydra's node; its own device and precision are settled too, as far as is known.
    Raises:
        ConfigError: By what is returned, if the device cannot be known.
    """
    elsewhere = trains_elsewhere(base)
    has_gpus = _jobs_have_gpus(base) if elsewhere else torch.cuda.is_available()

    def composed(overrides: list[str]) -> DictConfig:
        config = compose(overrides)
        _settle(config, has_gpus, elsewhere)
        if OmegaConf.select(config, "device") == "auto":
            raise ConfigError(
                [
                    "device=auto: it cannot be known from here whether the jobs of SLURM have a GPU, as "
                    "hydra.launcher.gpus_per_node is null; set hydra.launcher.gpus_per_node=1, or device=cpu"
                ]
            )
        return config

    _settle(base, has_gpus, elsewhere)
    return composed


def _settle(config: DictConfig, has_gpus: bool | None, elsewhere: bool) -> None:
    if OmegaConf.select(config, "device") == "auto" and has_gpus is not None:
        config.device = "cuda" if has_gpus else "cpu"
    device = OmegaConf.select(config, "device")
    if OmegaConf.select(config, "trainer.precision") != "auto" or device not in ("cpu", "cuda"):
        return
    # The card of this machine says nothing about those of a cluster.
    config.trainer.precision = "bf16" if elsewhere and device == "cuda" else resolve_precision("auto", device)


def _jobs_have_gpus(base: DictConfig) -> bool | None:
    """Tell whether the jobs of a cluster are asked to have GPUs; None if the launcher leaves it open."""
    launcher = base.hydra.launcher
    settings = {key: launcher.get(key) for key in ("gpus_per_node", "gpus_per_task", "gres")}
    settings |= launcher.get("additional_parameters") or {}  # of sbatch, such as {gpus: 1}
    numbers = [
        str(value).rpartition(":")[2]  # 1 of gpu:a100:1
        for key, value in settings.items()
        if value is not None and "gpu" in f"{key} {value}"
    ]
    return any(number != "0" for number in numbers) if numbers else None

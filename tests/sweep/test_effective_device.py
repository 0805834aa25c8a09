"""The device and the precision of a sweep's runs are decided once, and stand in their configs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from tests.support import compose_config
from tests.sweep.launchers import base
from tffd.config import require_config
from tffd.identity import hash_config
from tffd.refusal import ConfigError
from tffd.sweep.compose import with_effective_device

GPU_NODE = {"gpus_per_node": 1}


def compose(overrides: list[str]) -> DictConfig:
    return compose_config(*overrides)


def place(directory: Path, *overrides: str, launcher: str = "submitit_slurm", **settings: Any) -> tuple[str, str, str]:
    """Device, precision and identity that the run of a sweep gets, whose command is composed of nothing."""
    cfg = with_effective_device(compose, base(launcher, directory, **settings))(list(overrides))
    return cfg.device, cfg.trainer.precision, hash_config(require_config(cfg)).run


@pytest.fixture(params=[True, False], ids=["here-with-gpu", "here-without"])
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A machine with one old card, which has no bfloat16; and one with none."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(request.param))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (7, 0))
    has_gpu: bool = request.param
    return has_gpu


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_on_this_machine_auto_is_what_is_there(tmp_path: Path, here: bool, launcher: str) -> None:
    device, precision, _ = place(tmp_path, launcher=launcher)
    assert (device, precision) == ("cuda" if here else "cpu", "fp32")


def test_a_sweep_does_not_take_the_cpu_where_devices_were_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES=0,1: PyTorch sees none of these devices"):
        place(tmp_path, launcher="basic")
    assert place(tmp_path, "device=cpu", launcher="basic")[:2] == ("cpu", "fp32")


@pytest.mark.parametrize(
    ("settings", "device"),
    [
        (GPU_NODE, "cuda"),
        ({"gpus_per_task": 2}, "cuda"),
        ({"gres": "gpu:a100:1"}, "cuda"),
        ({"additional_parameters": {"gpus": 1}}, "cuda"),
        ({"additional_parameters": {"gres": "gpu:1", "mail-type": "END"}}, "cuda"),
        ({"gpus_per_node": 0}, "cpu"),
        ({"gres": "gpu:0"}, "cpu"),
    ],
)
def test_on_a_cluster_auto_is_what_the_jobs_are_asked_for(
    tmp_path: Path, here: bool, settings: dict[str, Any], device: str
) -> None:
    precision = "bf16" if device == "cuda" else "fp32"  # whatever the card of the login node has
    assert place(tmp_path, **settings)[:2] == (device, precision)


@pytest.mark.parametrize("settings", [{}, {"gres": "shm:1"}, {"partition": "gpu"}])
def test_what_a_cluster_leaves_open_is_refused(tmp_path: Path, here: bool, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="set hydra.launcher.gpus_per_node=1, or device=cpu"):
        place(tmp_path, **settings)
    assert place(tmp_path, "device=cpu", **settings)[:2] == ("cpu", "fp32")
    assert place(tmp_path, "device=cuda", **settings)[:2] == ("cuda", "bf16")


def test_identities_are_the_same_on_login_node_and_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    *_, planned = place(tmp_path, **GPU_NODE)
    cfg = with_effective_device(compose, base("submitit_slurm", tmp_path, **GPU_NODE))([])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert hash_config(require_config(cfg)).run == planned
    assert place(tmp_path, "device=cpu")[2] != planned
    assert place(tmp_path, "trainer.precision=tf32", **GPU_NODE)[2] != planned


def test_what_was_asked_for_stays(tmp_path: Path, here: bool) -> None:
    assert place(tmp_path, "device=cuda", "trainer.precision=tf32", **GPU_NODE)[:2] == ("cuda", "tf32")
    assert place(tmp_path, "device=cpu", "trainer.precision=bf16", launcher="basic")[:2] == ("cpu", "bf16")


def test_what_takes_effect_is_written_into_the_config_of_the_command_too(tmp_path: Path, here: bool) -> None:
    """The identity of its study is that of its settings, so that a search does not go on in another precision."""
    whole = OmegaConf.merge(base("submitit_slurm", tmp_path, **GPU_NODE), compose([]))
    assert isinstance(whole, DictConfig)
    with_effective_device(compose, whole)
    assert (whole.device, whole.trainer.precision) == ("cuda", "bf16")

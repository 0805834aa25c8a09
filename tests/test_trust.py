"""A config of another person runs nothing: what it may name, and what it may set."""

import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from tests.support import CONF, places, run_py
from tffd import identity
from tffd.app import register_resolvers, run_from_hydra
from tffd.config import read_config
from tffd.refusal import ConfigError
from tffd.trust import find_distrust


def composed(*overrides: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF)):
        return compose("config", overrides=list(overrides), return_hydra_config=True)


def write_experiment(directory: Path, name: str, content: str) -> None:
    (directory / "experiment").mkdir(exist_ok=True)
    (directory / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{content}\n")


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local", "submitit_slurm"])
@pytest.mark.parametrize("others", [["hydra/sweeper=optuna"], ["hydra/sweeper=basic", "hydra/job_logging=default"], []])
def test_what_the_parts_of_this_project_name_is_trusted(launcher: str, others: list[str]) -> None:
    assert find_distrust(composed(f"hydra/launcher={launcher}", *others), []) == []


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("+kd_mode.boom={_target_:hydra.test_utils.test_utils.run_process,cmd:[touch,x]}", "kd_mode.boom._target_"),
        ("+model.extra=[{_target_:os.system,_args_:[touch]}]", "model.extra.0._target_"),
        ("dataset.source._target_='${oc.env:HOME}'", "dataset.source._target_"),
        ("kd_mode.tfd._target_=tffd.records.write_json", "kd_mode.tfd._target_"),
        ("kd_mode.tfd._target_=tffd.distillery.Evil", "kd_mode.tfd._target_"),
        ("dataset.source._target_=tffd.data.sources.image_folder.os.system", "dataset.source._target_"),
        ("kd_mode.tfd._target_=tffd.distill.fitnet.nn.Linear", "kd_mode.tfd._target_"),
        ("model._target_=tffd.models.Path.write_text", "model._target_"),
        ("sweep.sampler._target_=optuna.samplers.PartialFixedSampler", "sweep.sampler._target_"),
        ("+hydra.callbacks.other={_target_:os.getcwd,_partial_:true}", "hydra.callbacks.other._target_"),
        ("+hydra.sweeper.custom_search_space=os.getcwd", "hydra.sweeper.custom_search_space"),
        ("+hydra.job.env_set.GIT_CONFIG_COUNT='1'", "hydra.job.env_set.GIT_CONFIG_COUNT"),
        ("+hydra.job.env_set.LD_PRELOAD=/tmp/x.so", "hydra.job.env_set.LD_PRELOAD"),
        ("hydra.job_logging.handlers.console.class=logging.handlers.SMTPHandler", "hydra.job_logging.handlers.console"),
        ("hydra.job_logging.handlers.console.stream='ext://antigravity.x'", "hydra.job_logging"),
    ],
)
def test_what_a_config_may_not_name_or_set(override: str, key: str) -> None:
    (fault,) = find_distrust(composed(override))
    assert fault.startswith(key)
    assert read_config(composed(override)).faults == [fault]  # whoever reads a config for a run refuses it


def test_a_log_is_written_beside_its_run_alone() -> None:
    assert find_distrust(composed("hydra/job_logging=default")) == []
    file = "hydra.job_logging.handlers.file.filename=/home/a/.profile"
    assert "a log lies beside its run" in find_distrust(composed("hydra/job_logging=default", file))[0]
    assert "a log lies beside" in find_distrust(composed("hydra/job_logging=default", "hydra.job.name=../../x"))[0]


@pytest.mark.parametrize("folder", ["/home/a/conf", "../../conf", "null"])
def test_what_hydra_records_of_a_run_is_written_beside_it_alone(folder: str) -> None:
    (fault,) = find_distrust(composed(f"hydra.output_subdir={folder}"))
    assert fault.startswith("hydra.output_subdir=")
    assert "a config lies beside its run, so use .hydra" in fault


def test_a_factory_of_handlers_is_looked_at_too() -> None:
    cfg = composed()
    cfg.hydra.job_logging.handlers.console = {"()": "os.getcwd"}
    assert find_distrust(cfg)[0].startswith("hydra.job_logging.handlers.console.()=os.getcwd: is none of the handlers")


@pytest.mark.parametrize("key", ["setup", "srun_args"])
def test_the_commands_of_a_cluster_job_come_from_the_command_line(key: str) -> None:
    cfg = composed("hydra/launcher=submitit_slurm", f"hydra.launcher.{key}=[module load cuda]")
    assert find_distrust(cfg, [f"hydra.launcher.{key}=[module load cuda]"]) == []
    assert find_distrust(cfg, ["experiment=theirs"])[0].startswith(f"hydra.launcher.{key}=['module load cuda']: runs")


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        ("kd_mode: {{boom: {{_target_: hydra.test_utils.test_utils.run_process, cmd: {command}}}}}", ()),
        # Before the callback that checks configs is called, all callbacks are made; and this one takes its place.
        ("hydra: {{callbacks: {{check_first: {{_target_: subprocess.run, args: {command}}}}}}}", ("-m", "seed=0,1")),
    ],
)
def test_an_experiment_that_names_a_command_runs_nothing(
    tmp_path: Path, content: str, arguments: Sequence[str]
) -> None:
    write_experiment(tmp_path, "theirs", content.format(command=f"[touch, {tmp_path}/ran]"))
    refused = run_py("--config-dir", str(tmp_path), *arguments, "experiment=theirs", *places(tmp_path))
    assert refused.returncode == 2
    assert "is none of the classes that a config may name" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["experiment"]


def test_recording_the_commit_runs_no_command_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(tmp_path))}/ran\n")
    hook.chmod(0o755)
    settings: dict[str, Any] = {"COUNT": "1", "KEY_0": "core.fsmonitor", "VALUE_0": str(hook)}
    for name, value in settings.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    subprocess.run(["git", "-C", str(CONF), "status"], capture_output=True, check=False)
    assert (tmp_path / "ran").exists()  # so it would have been run
    (tmp_path / "ran").unlink()
    assert identity.git_commit()
    assert not (tmp_path / "ran").exists()


def test_recording_the_commit_runs_no_command_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its monitor nor a hook, which `git` starts when it has looked for what is changed."""
    checkout = tmp_path / "checkout"
    source, times = checkout / "tffd" / "identity.py", count(1)
    source.parent.mkdir(parents=True)
    source.touch()

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(checkout), *words], capture_output=True, check=True)

    git("init")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "one")
    for name in ("monitor", "hooks/post-index-change"):
        script = checkout / ".git" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(tmp_path))}/ran-{script.name}\n")
        script.chmod(0o755)
    git("config", "core.fsmonitor", str(checkout / ".git" / "monitor"))

    def ran_by(action: Callable[[], object]) -> set[str]:
        os.utime(source, (next(times),) * 2)  # so that git looks at it, and writes its index anew
        action()
        found = list(tmp_path.glob("ran-*"))
        for path in found:
            path.unlink()
        return {path.name for path in found}

    monkeypatch.setattr(identity, "__file__", str(source))
    assert ran_by(lambda: git("describe", "--always", "--dirty")) == {"ran-monitor", "ran-post-index-change"}
    assert ran_by(identity.git_commit) == set()
    assert len(identity.git_commit() or "") == 40


def test_a_job_that_hydra_composed_anew_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HydraConfig.instance(), "cfg", composed("+hydra.job.env_set.PATH=/tmp"))
    with pytest.raises(ConfigError, match="hydra.job.env_set.PATH=/tmp"):
        run_from_hydra(composed())

"""Links in a run's directory, through which nothing is written."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import TINY, places, run_py
from tests.sweep.fakes import base_config, run_config
from tffd.links import require_no_links
from tffd.sweep.worker import Job, run_in_worker

NAMES = ["run.log", "heartbeat", ".hydra", ".hydra/config.yaml", ".hydra/overrides.yaml"]


def link(run_dir: Path, name: str, victim: Path) -> None:
    (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
    (run_dir / name).symlink_to(victim)


@pytest.mark.parametrize("name", [*NAMES, "."])
def test_a_link_in_a_runs_directory_is_refused(tmp_path: Path, name: str) -> None:
    link(tmp_path / "run", name, tmp_path / "nowhere") if name != "." else (tmp_path / "run").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="is a link, and the run would write through it"):
        require_no_links(tmp_path / "run")


@pytest.mark.parametrize("name", ["run.log", ".hydra/config.yaml"])
def test_a_fifo_in_a_runs_directory_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(ValueError, match=f"{name} is a device, a FIFO or a socket; remove it, or choose another name"):
        require_no_links(tmp_path / "run")


def test_links_above_a_runs_directory_are_not_its_business(tmp_path: Path) -> None:
    (tmp_path / "disk" / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "disk" / "run" / "run.log").touch()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    require_no_links(tmp_path / "results" / "run")
    require_no_links(tmp_path / "results" / "not there yet")


def test_a_single_run_writes_nothing_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    link(tmp_path / "run", ".hydra/config.yaml", victim)
    done = run_py(*places(tmp_path), *TINY, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 2
    assert f"{tmp_path}/run/.hydra/config.yaml is a link" in done.stderr
    assert victim.read_text() == "mine"


def test_a_single_run_replaces_no_file_of_others(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_text("mine")
    done = run_py(*places(tmp_path), *TINY, f"hydra.run.dir={tmp_path}")
    assert done.returncode == 2
    assert f"{tmp_path}/weights.pt is there and of no run" in done.stderr
    assert (tmp_path / "weights.pt").read_text() == "mine"
    assert not (tmp_path / ".hydra").exists()


@pytest.fixture
def handlers() -> Iterator[None]:
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in earlier.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", ["run.log", ".hydra/hydra.yaml"])
def test_a_trial_writes_nothing_through_a_link_and_says_why(tmp_path: Path, handlers: None, name: str) -> None:
    victim, run_dir = tmp_path / "victim", tmp_path / "grid" / "0000"
    victim.write_text("mine")
    link(run_dir, name, victim)
    run_in_worker(Job(run_config(), base_config(), "hash", run_dir, (None, None), "grid", 0, None))
    record = json.loads((run_dir / "result.json").read_text())
    assert record["status"] == "failed"
    assert record["failure"] == "until_mended"
    assert record["error"].startswith(f"ConfigError: {run_dir}/{name} is a link")
    assert victim.read_text() == "mine"

"""Commands of this repository in processes of their own, configs as they compose them, and what they leave."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from benchmarks.measure import PROCESSOR, WALL, Sample
from tffd.app import register_resolvers

REPOSITORY = Path(__file__).parents[1]
PLAIN = ("device=cpu", "threads=1", "trainer.checkpoint_every=0")
PEAK = "peak MiB"

# Of the descendants of this small process only: the largest resident set that getrusage knows is over all of them. A
# sweep's fork server outlives its command by a moment, and is waited for here so that its trials' seconds count.
_APART = """
import contextlib, ctypes, os, resource, subprocess, sys, time
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans of the command become children of this process
started = time.perf_counter()
done = subprocess.run([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - started
with contextlib.suppress(ChildProcessError):
    while True:
        os.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
sys.exit(done.returncode)
"""


def run_apart(*arguments: str | Path) -> Sample:
    """Return the seconds, the processor seconds and the peak memory in MiB of a Python process with these arguments.

    Raises:
        RuntimeError: If it fails, with the end of what it said.
    """
    command = [sys.executable, "-c", _APART, *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"python {' '.join(map(str, arguments))} failed:\n{done.stderr[-2000:]}")
    return dict(zip((WALL, PROCESSOR, PEAK), map(float, done.stdout.split()), strict=True))


def run_py(directory: Path, *arguments: str) -> Sample:
    """Run run.py with all that it writes below a directory; see `run_apart`."""
    return run_apart("run.py", *arguments, f"results_dir={directory}", f"dataset.cache={directory}/cache")


def records(directory: Path) -> list[dict[str, Any]]:
    """Every result.json below a directory."""
    return [json.loads(path.read_text()) for path in directory.rglob("result.json")]


def trained_seconds(directory: Path) -> float:
    """The seconds of training of all runs below a directory."""
    return float(sum(record["train_seconds"] for record in records(directory)))


def makespan(directory: Path) -> float:
    """Seconds from the first run's beginning to the last one's end, by the times of their files."""
    begun = min(path.stat().st_mtime for path in directory.rglob(".hydra/config.yaml"))
    return max(path.stat().st_mtime for path in directory.rglob("result.json")) - begun


def listed(values: Iterable[object]) -> str:
    """Values as a sweep over them is written."""
    return ",".join(map(str, values))


def composed(*overrides: str) -> DictConfig:
    """Compose a config as run.py does."""
    register_resolvers()
    with initialize_config_dir(str(REPOSITORY / "conf")):
        return compose("config", list(overrides), return_hydra_config=True)

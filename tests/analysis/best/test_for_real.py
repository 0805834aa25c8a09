"""The command that `best` prints, run as printed: what a sweep writes, and what the reader makes of it, agree."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import analysis
from analysis.__main__ import main

ROOT = Path(analysis.__file__).parents[1]


def _run(*words: str) -> None:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


WELL_TAUGHT = ("+teacher.trainer.epochs=5", "dataset.train_size=null")  # a teacher near chance is refused


@pytest.mark.slow
@pytest.mark.parametrize(
    "search",
    [
        ["sweep=lambdas", "sweep.seeds=[1,2]"],
        ["sweep=terms"],
        ["sweep=lambdas", "kd_mode.tfd.reduction=mean,sum"],  # which kd_mode=none lacks: a command each
        ["sweep=lambdas", "kd_mode=[at,tfd]", "teacher=resnet8", "teacher.checkpoint=auto", *WELL_TAUGHT],
    ],
)
def test_the_printed_commands_train_the_winner_and_the_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], search: list[str]
) -> None:
    small = ["model=resnet8", "trainer.epochs=1", "device=cpu", f"results_dir={tmp_path}", "name=s", "sweep.n_trials=2"]
    _run("run.py", "-m", *search, *small)
    assert main(["best", str(tmp_path / "s"), "--seeds", "2", "--format", "json"]) == 0
    again = json.loads(capsys.readouterr().out)["retrain"]
    for command in again["train"]:
        _run(*shlex.split(command)[1:])
    python, option, package, *words = shlex.split(again["tabulate"])
    assert (python, option, package, main([*words, "--format", "json"])) == ("python", "-m", "analysis", 0)
    table = json.loads(capsys.readouterr().out)
    assert [cell["n"] for cell in table["cells"]] == [2, 2]
    assert table["conditions"]["seed"] == again["seeds"]
    assert table["conditions"]["protocol"] == ["final"]

"""What repeats or completes runs goes where they lie now."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.figures.kinds import read_source
from analysis.missing.missing import lacking_cells
from analysis.read.command_lines import Origin
from analysis.read.gather import gather
from analysis.read.places import origin_and_place
from analysis.read.results import runs_of
from analysis.report.content import report_content
from analysis.select.request import Request

OPTIONS = ("--config-dir", "mine", "--config-name", "theirs")


@pytest.fixture
def moved(tmp_path: Path, write_run: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Single runs and one of a study, of configs of their own, written to old/demo; they lie in new/demo now."""
    monkeypatch.chdir(tmp_path)
    for path, mode, seed, study in (("a", "none", 0, None), ("b", "none", 1, None), ("grid/0000", "tfd", 0, "grid")):
        words = (f"kd_mode={mode}", f"seed={seed}", "results_dir=old", "name=demo")
        run = write_run(f"new/demo/{path}", overrides=words, kd_mode=mode, seed=seed, study=study, val_top1=60.0 + seed)
        (run / ".hydra" / "config.yaml").write_text("results_dir: old\nname: demo\n")
        hydra = {
            "runtime": {"config_sources": [{"provider": "command-line", "path": "mine"}], "cwd": str(tmp_path)},
            "job": {"config_name": "theirs"},
            "overrides": {"hydra": []},
        }
        (run / ".hydra" / "hydra.yaml").write_text(yaml.dump({"hydra": hydra}))
    return tmp_path


def test_a_run_that_was_moved_is_followed(moved: Path) -> None:
    for run in runs_of(gather("new").runs):
        assert origin_and_place(run, ()) == (Origin(OPTIONS, str(moved)), {"results_dir": "new", "name": "demo"})
    (moved / "new").rename(moved / "old")
    for run in runs_of(gather("old").runs):
        assert origin_and_place(run, ())[1] == {"name": "demo"}


def test_missing_and_repeated_runs_go_where_the_others_lie(moved: Path) -> None:
    (cell,) = lacking_cells(gather("new"), Request())
    assert cell.command is not None and f"run.py {' '.join(OPTIONS)} " in cell.command
    assert cell.command.endswith(" kd_mode=tfd results_dir=new name=demo seed=1")
    winner = report_content(read_source("new")).winner
    assert winner is not None
    (again,) = winner.commands[-1][1]
    assert f"run.py -m {' '.join(OPTIONS)} name=demo-again results_dir=new kd_mode=none " in again
    assert "old" not in again.split()[-1] and "results_dir=old" not in again

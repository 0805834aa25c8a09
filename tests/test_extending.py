"""A folder of one's own, outside the repository: docs/extending.md, typed as it stands."""

import json
import os
import re
import shlex
import shutil
import signal
import sys
import tomllib
from pathlib import Path

import pytest

from tests.lab import PAGE, SCRIPTS, Lab, make_lab, page_commands, page_files
from tests.support import CONF, REPOSITORY
from tests.waiting import wait_for

TRUST, ONE_RUN, SEARCH, ABLATION, BEST, TABLE = page_commands()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return make_lab(tmp_path_factory.mktemp("own"))


def test_the_page_is_short_and_its_scripts_are_installed() -> None:
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) < 150
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == SCRIPTS
    assert {Path(name).parts[0] for name in page_files()} == {"mylab", "myconf"}


def test_without_trust_all_of_them_are_refused_and_both_ways_are_told(lab: Lab) -> None:
    told = lab.run(ONE_RUN, code=2)
    for key in ("model", "dataset.source", "kd_mode.decorrelate"):
        assert f"{key}._target_=mylab." in told
    assert "set TFFD_TRUST=mylab before the command" in told
    assert '"tffd.parts"' in told
    assert not (lab.folder / "results").exists()


@pytest.mark.slow
def test_a_sweep_without_m_prints_the_command_that_works(lab: Lab) -> None:
    told = lab.run(f"{TRUST}; {SEARCH.replace(' -m', '')} sweep.dry_run=true", code=2)
    command = told.split("Start it with: ")[1].strip()
    assert command.startswith(f"TFFD_TRUST=mylab tffd -m --config-dir {lab.folder / 'myconf'} sweep=mine")
    assert "mine: a dry run" in lab.run(command)


@pytest.mark.slow
def test_a_search_an_ablation_that_is_killed_and_tables(lab: Lab) -> None:
    """And every command that they print, pasted into a shell that does not trust anything by itself."""
    assert "val top-1" in lab.run(f"{TRUST}; {ONE_RUN}")
    assert "search: 6 of 6 trials complete" in lab.run(f"{TRUST}; {SEARCH}")

    killed = lab.start(f"{TRUST}; exec {ABLATION}")
    terms = lab.folder / "results" / "mine-terms"
    wait_for(lambda: len(list(terms.rglob("result.json"))) >= 2)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    done = {path: path.read_bytes() for path in terms.rglob("result.json")}
    assert 2 <= len(done) < 9
    resumed = lab.run(f"{TRUST}; {ABLATION}")
    assert "grid: 9 of 9 trials complete" in resumed
    assert {path: path.read_bytes() for path in done} == done  # with their times: none was trained again

    table = lab.run(re.search(r"Table: +(.+)", resumed)[1])  # type: ignore[index]
    assert table == lab.run(TABLE)
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table.splitlines() if line.startswith("|")]
    assert rows[0] == ["kd_mode", "kd_mode.decorrelate.weights.decorrelate"]
    assert rows[2:] == [["none", "-"], ["decorrelate", "0.1"], ["decorrelate", "1"]]

    shutil.rmtree(terms / "grid" / "0003")
    missing = lab.run(f"{TABLE} --missing")
    (cell,) = set(re.findall(r"TFFD_TRUST=mylab tffd --config-dir [^|`\n]+", missing))
    assert "tiny on stripes, decorrelate, seed 0" in lab.run(cell)
    (whole,) = re.findall(r"all that a sweep lacks: (.+)", missing)
    assert "9 of 9 trials complete" in lab.run(whole)

    commands = re.findall(r"^(?:TFFD_TRUST=mylab )?tffd.*$", lab.run(BEST), re.M)
    assert len(commands) == 3
    for command in commands[:2]:
        assert "5 of 5 trials complete" in lab.run(f"{command} trainer.epochs=1")
    assert "decorrelate" in lab.run(commands[2])
    assert {path.parts[-3] for path in (lab.folder / "results" / "mine-final").rglob("result.json")} == {"grid"}


@pytest.mark.slow
def test_another_primary_config_and_a_search_path_are_kept(lab: Lab) -> None:
    (lab.folder / "other" / "model").mkdir(parents=True)
    tiny = (lab.folder / "myconf" / "model" / "tiny.yaml").read_text()
    (lab.folder / "other" / "model" / "slim.yaml").write_text(tiny.replace("width: 8", "width: 4"))
    own = (CONF / "config.yaml").read_text().replace("model: resnet20", "model: slim")
    (lab.folder / "myconf" / "own.yaml").write_text(own.replace("dataset: digits", "dataset: stripes"))
    search_path = shlex.quote(f"hydra.searchpath=[file://{lab.folder / 'other'}]")
    options = f"--config-dir myconf --config-name own {search_path}"
    lab.run(f"{TRUST}; tffd -m {options} trainer.epochs=1 name=kept seed=0,1")
    runs = lab.folder / "results" / "kept"
    shutil.rmtree(runs / "grid" / "0001")
    missing = lab.run("tffd-analysis table results/kept --missing")
    (command,) = re.findall(r"TFFD_TRUST=mylab tffd --config-dir [^|`\n]+", missing)
    assert "tiny on stripes, tfd, seed 1" in lab.run(command)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    ["hydra/launcher=submitit_local", "hydra/launcher=joblib", "hydra/sweeper=basic hydra/launcher=joblib"],
)
def test_workers_of_every_kind_find_the_parts(lab: Lab, words: str) -> None:
    name = words.replace("/", "").replace("=", "").replace(" ", "")
    lab.run(f"{TRUST}; {ONE_RUN.replace('tffd', 'tffd -m')} seed=0,1 trainer.epochs=1 name={name} {words}")
    assert len(list((lab.folder / "results" / name).rglob("result.json"))) == 2


@pytest.mark.slow
def test_an_installed_package_is_trusted_by_its_entry_point(lab: Lab) -> None:
    info = lab.folder / "mylab-1.0.dist-info"  # what an installation leaves; PYTHONPATH stands for site-packages
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tffd.parts]\nmylab = mylab\n")
    sweep = f"{ONE_RUN.replace('tffd', 'tffd -m')} seed=0,1 trainer.epochs=1 name=installed"
    assert "2 of 2 trials complete" in lab.run(f"PYTHONPATH={lab.folder} {sweep}")
    (result, _) = (lab.folder / "results" / "installed").rglob("result.json")
    assert json.loads(result.read_text())["program"] == "tffd"


def test_the_tests_themselves_know_nothing_of_the_folder() -> None:
    assert "mylab" not in sys.modules

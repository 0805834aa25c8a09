"""run.py as a user starts it: a process, its exit code, what it prints, what it leaves."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support import REPOSITORY, TINY, places, results, run_py


def test_one_run_and_the_same_command_again(tmp_path: Path) -> None:
    first = run_py(*places(tmp_path), *TINY)
    assert (first.returncode, first.stderr) == (0, "")
    assert "resnet8 on digits, tfd, seed 0: 2 epochs" in first.stdout
    (run_dir,) = (tmp_path / "results" / "default").iterdir()
    assert {path.name for path in run_dir.iterdir()} >= {".hydra", "metrics.csv", "result.json", "weights.pt"}
    before = (run_dir / "result.json").read_bytes()
    again = run_py(*places(tmp_path), *TINY)
    assert again.stdout.startswith("Already complete")
    assert (run_dir / "result.json").read_bytes() == before


COUNTING = """
import sys
from tffd.schema import Config
read, count = Config.model_validate, []
Config.model_validate = lambda *values: count.append(values) or read(*values)
import runpy
runpy.run_path("run.py", run_name="__main__")
print(f"The config was read {len(count)} times.")
"""


def test_the_config_of_a_run_is_read_once_and_handed_on(tmp_path: Path) -> None:
    words = [sys.executable, "-c", COUNTING, *places(tmp_path), *TINY, "trainer.epochs=1"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.endswith("The config was read 1 times.\n")
    assert results(tmp_path)[0]["status"] == "complete"


@pytest.mark.slow
def test_other_settings_get_a_directory_of_their_own(tmp_path: Path) -> None:
    for seed in (0, 1):
        assert run_py(*places(tmp_path), *TINY, f"seed={seed}").returncode == 0
    assert [result["seed"] for result in results(tmp_path)] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lambda_intra=-1", "trainer.epochs=0"), "The configuration has 2 faults; nothing was started:"),
        (("sweep=lambdas",), "sweep=lambdas needs -m. Start it with: python run.py -m"),
        (("ablation=terms",), "ablation=terms needs -m. Start it with: python run.py -m"),
        (("kd_mode=nonsense",), "kd_mode=nonsense: there is no such choice"),
        (("trainer.epoch=1",), "Could not override 'trainer.epoch'"),
        (("-m", "sweep=lambdas", "sweep.objective=test_top1"), "no choice may see the test set"),
        (("-m", "sweep=lambdas", "hydra/sweeper=optuna", "protocol=final"), "reads the test set, which no search may"),
        (("-m", "seed=0,1", "hydra/sweeper=basic", "trainer.epochs=0"), "trainer.epochs=0: should be greater"),
    ],
)
def test_refused(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    refused = run_py(*arguments, *places(tmp_path))
    assert refused.returncode != 0
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""
    assert not (tmp_path / "results").exists()


def test_a_diverging_run_says_so_and_is_recorded(tmp_path: Path) -> None:
    diverged = run_py(*places(tmp_path), *TINY, "trainer.lr=1e9")
    assert diverged.returncode != 0
    assert "the training loss became nan in epoch 1" in diverged.stderr
    assert "Traceback" not in diverged.stderr
    assert [result["status"] for result in results(tmp_path)] == ["failed"]


def test_it_is_a_plain_hydra_application(tmp_path: Path) -> None:
    shown = run_py("--cfg", "job", "kd_mode=intra", *places(tmp_path))
    assert shown.returncode == 0
    assert "lambda_intra: 0.0008" in shown.stdout
    assert run_py("--help").returncode == 0
    custom = run_py(*places(tmp_path), *TINY, f"hydra.run.dir={tmp_path}/mine")
    assert custom.returncode == 0
    assert (tmp_path / "mine" / "result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sweeper", "arguments", "runs"),
    [("optuna", ("sweep=lambdas", "sweep.n_trials=3"), 3), ("basic", ("seed=0,1",), 2)],
)
def test_the_stock_sweepers_still_work(tmp_path: Path, sweeper: str, arguments: tuple[str, ...], runs: int) -> None:
    swept = run_py("-m", *arguments, f"hydra/sweeper={sweeper}", *places(tmp_path), *TINY)
    assert swept.returncode == 0, swept.stderr
    assert len(results(tmp_path)) == runs


def test_starting_hydra_does_not_import_torch() -> None:
    """Hydra imports its plugins at every start: `--help` and completion would wait for torch."""
    code = "import sys, hydra_plugins.tffd_sweeper.sweeper, tffd.app; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_declared_package_is_pinned() -> None:
    """In constraints.txt, by name and version alone."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(line.count("==") == 1 and "/" not in line and " " not in line for line in pins)
    names = {_canonical(line.split("==")[0]) for line in pins}
    wanted = _declared("dependencies") | _declared("cluster") | _declared("dev")
    assert wanted <= names, wanted - names


# Not imported by our code: Hydra and Optuna load them by name, and of scikit-learn a file is read.
_LOADED_BY_NAME = {
    "hydra-optuna-sweeper", "hydra-submitit-launcher", "hydra-joblib-launcher", "cmaes", "psycopg", "scikit-learn",
}  # fmt: skip
_OF_A_LAUNCHER = {"submitit"}  # it comes with the launcher of its name


def test_the_packages_that_are_declared_are_those_that_are_imported() -> None:
    """A dependency that nothing uses any more goes, and what is used is declared and does not come along by luck."""
    provided = packages_distributions()
    roots = [path for name in ("tffd", "analysis", "hydra_plugins") for path in (REPOSITORY / name).rglob("*.py")]
    modules = {name.split(".")[0] for path in (*roots, REPOSITORY / "run.py") for name in _imported(path)}
    third_party = modules - set(sys.stdlib_module_names) - {"tffd", "analysis", "hydra_plugins"}
    imported = {_canonical(name) for module in third_party for name in provided.get(module, [module])}
    declared = _declared("dependencies") | _declared("cluster")
    assert imported - _OF_A_LAUNCHER == declared - _LOADED_BY_NAME
    assert declared >= _LOADED_BY_NAME


def _declared(group: str) -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    specs = project["dependencies"] if group == "dependencies" else project["optional-dependencies"][group]
    return {_canonical(re.split(r"[\[>=<]", spec)[0]) for spec in specs} - {"tffd"}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_result_json_is_strict_json(tmp_path: Path) -> None:
    assert run_py(*places(tmp_path), *TINY).returncode == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path in tmp_path.rglob("result.json"):
        json.loads(path.read_text(), parse_constant=refuse)

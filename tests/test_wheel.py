"""A wheel carries the configs, and works in another environment; building it leaves nothing that lint would read."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import CONF, REPOSITORY


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True, cwd=REPOSITORY)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    before = {path.name for path in REPOSITORY.iterdir()}
    # The build uses the setuptools that are here: no package is fetched.
    pip("wheel", str(REPOSITORY), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    left = {path.name for path in REPOSITORY.iterdir()} - before - {"tffd.egg-info"}
    assert not {name for name in left if not name.startswith(".")}
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_what_is_in_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"tffd", "analysis", "hydra_plugins"}
    packed = {name.removeprefix("tffd/conf/") for name in names if name.startswith("tffd/conf/")}
    assert packed == {path.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml")}
    for package in ("tffd", "analysis", "hydra_plugins"):
        sources = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / package).rglob("*.*")}
        assert {name for name in sources if not name.endswith(".pyc")} <= set(names)


@pytest.mark.slow
def test_it_works_in_another_environment(wheel: Path, tmp_path: Path) -> None:
    environment, elsewhere = tmp_path / "env", tmp_path / "work"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    # The dependencies of this environment serve it too; a path in a .pth file brings no editable install along.
    dependencies = Path(pytest.__file__).parents[1]
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    pip("--python", str(environment / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
    elsewhere.mkdir()

    def run(script: str, *arguments: str) -> str:
        line = [str(environment / "bin" / script), *arguments]
        done = subprocess.run(line, cwd=elsewhere, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert Path(run("python", "-c", "import tffd; print(tffd.__file__)").strip()).is_relative_to(site)
    assert run("python", "-c", "from importlib.util import find_spec; print(find_spec('run'))") == "None\n"
    run("tffd", "-m", "model=resnet8", "trainer.epochs=1", "device=cpu", "seed=0,1", "sweep.n_jobs=1")
    assert "| tfd " in run("tffd-analysis", "table", "results/default")
    assert "| tfd " in run("python", "-m", "analysis", "table", "results/default")

"""What commands import: PyTorch takes two seconds, its compiler and scikit-learn as long again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPOSITORY, TINY, compose_config, places, run_py
from tffd import remembered
from tffd.checks import check_config
from tffd.config import require_config
from tffd.instantiation import needs_teacher
from tffd.refusal import ConfigError
from tffd.remembered import recall, remember
from tffd.soundness import Soundness

IN_COPIES = """
import json, os, sys
from tffd.command import main

for words in json.loads(sys.argv[1]):
    if (child := os.fork()) == 0:
        sys.argv = ["run.py", *words]
        try:
            main()
        finally:
            heavy = ("torch", "torchvision", "sklearn", "scipy", "pandas")
            print("imported:", *(name for name in heavy if name in sys.modules), flush=True)
            os._exit(0)
    os.waitpid(child, 0)
"""


def test_help_and_what_has_ended_is_shown_without_pytorch(tmp_path: Path) -> None:
    run, sweep = [*places(tmp_path), *TINY, "trainer.epochs=1"], ["-m", *places(tmp_path), *TINY, "trainer.epochs=1"]
    sweep += ["name=sweep", "kd_mode=none,tfd"]
    for words in (run, sweep):
        assert run_py(*words).returncode == 0
    commands = [["--help"], ["--cfg", "job", *run], run, sweep]
    done = subprocess.run(
        [sys.executable, "-c", IN_COPIES, json.dumps(commands)],
        cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert "Already complete" in done.stdout
    assert "grid: 2 of 2 trials complete" in done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("imported:")] == ["imported:"] * 4


FIRST_RUN = """
import runpy, sys
runpy.run_path("run.py", run_name="__main__")
heavy = ("torch", "torch._dynamo", "torchvision", "sklearn", "scipy", "pandas", "optuna", "sqlalchemy")
print("imported:", *(name for name in heavy if name in sys.modules))
"""


def test_a_run_imports_no_compiler_and_nothing_for_its_data(tmp_path: Path) -> None:
    words = [sys.executable, "-c", FIRST_RUN, *places(tmp_path), *TINY, "trainer.epochs=1"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "imported: torch"


def test_whether_modes_need_a_teacher_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = require_config(compose_config(*places(tmp_path), "kd_mode=at"))
    question = {"is": "taught", "modes": [[config.kd_mode["at"].target, ["at"]]]}
    remember(config.dataset.cache, question, False)  # which is wrong, so that it can be told where it came from
    with monkeypatch.context() as without:
        without.delitem(sys.modules, "torch", raising=False)
        assert not needs_teacher(config)
    import torch  # noqa: F401  # whoever has it asks the class

    assert needs_teacher(config)


@pytest.mark.parametrize("wrong", ["trainer.batch_size=99999", "kd_mode=at"])  # the second lacks a teacher
def test_a_refused_command_remembers_nothing(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        check_config(compose_config(*places(tmp_path), wrong))
    assert not (tmp_path / "cache").exists()


def test_what_changed_while_it_was_checked_is_not_remembered(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"as they were")
    config = require_config(compose_config(*places(tmp_path), f"model.weights={weights}"))
    seen = Soundness([config])
    weights.write_bytes(b"others")
    seen.keep()
    assert not Soundness([config]).is_known
    Soundness([config]).keep()
    assert Soundness([config]).is_known
    assert Soundness([config, config.model_copy(update={"seed": 7})]).is_known
    weights.write_bytes(b"as they were")
    assert not Soundness([config]).is_known


def test_parts_of_your_own_are_looked_at_each_time(tmp_path: Path) -> None:
    config = require_config(compose_config(*places(tmp_path)))
    own = config.model_copy(update={"model": config.model.model_copy(update={"target": "lab.Network"})})
    Soundness([own]).keep()
    assert not Soundness([own]).is_known
    assert not (tmp_path / "cache").exists()


def test_answers_hold_for_one_question_and_version_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recall(tmp_path, {"a": 1}) is None
    remember(tmp_path, {"a": 1}, True)
    remember(tmp_path, {"a": 2}, False)
    assert (recall(tmp_path, {"a": 1}), recall(tmp_path, {"a": 2}), recall(tmp_path, {"b": 1})) == (True, False, None)
    with monkeypatch.context() as edited:
        edited.setattr(remembered, "_code", lambda: "another version")
        assert recall(tmp_path, {"a": 1}) is None
    for file in (tmp_path / "answers").iterdir():
        file.write_text("damaged")
    assert recall(tmp_path, {"a": 1}) is None


def test_a_folder_that_cannot_be_written_keeps_no_answer(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    remember(tmp_path / "cache", {"a": 1}, True)
    assert recall(tmp_path / "cache", {"a": 1}) is None


def test_a_source_file_that_cannot_be_read_costs_an_answer_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "__file__", str(tmp_path / "remembered.py"))
    monkeypatch.setattr(remembered, "_code", remembered._code.__wrapped__)
    (tmp_path / ".#schema.py").symlink_to("somebody@a-machine.4711")  # as an editor locks a file
    remember(tmp_path, {"a": 1}, True)
    assert recall(tmp_path, {"a": 1}) is True

    def unreadable(path: Path) -> bytes:
        raise OSError(path)

    (tmp_path / "schema.py").touch()
    monkeypatch.setattr(Path, "read_bytes", unreadable)
    remember(tmp_path, {"a": 2}, True)
    assert recall(tmp_path, {"a": 1}) is None


@pytest.mark.parametrize("wrong", ["name=null", "name=[a]", "results_dir=3", f"name={'n' * 300}"])
def test_where_a_sweep_lies_is_checked_before_it_is_looked_for(wrong: str, tmp_path: Path) -> None:
    done = run_py("-m", *places(tmp_path), *TINY, "seed=0,1", wrong)
    assert done.returncode == 2
    assert "nothing was started" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr

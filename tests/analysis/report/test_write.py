"""`python -m analysis report`: the file, and watching."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.__main__ import main
from analysis.report import write
from analysis.report.write import watch_report, write_report
from benchmarks.report import write_search
from tests.analysis.conftest import RESULT

ROOT = Path(analysis.__file__).parents[1]


def _beat(run: Path, seconds_ago: float = 0.0) -> None:
    _age(seconds_ago, run / "metrics.csv", run / ".hydra/config.yaml")


def _age(seconds: float, *files: Path) -> None:
    for file in files:
        os.utime(file, (time.time() - seconds,) * 2)


def test_the_page_lies_in_the_directory(tmp_path: Path, write_run: Any, capsys: Any) -> None:
    write_run("0000")
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000", "report.html"]  # no draft is left
    assert main(["report", str(tmp_path)]) == 0  # the page is no run
    assert "1 run;" in (tmp_path / "report.html").read_text()


def test_the_page_lies_where_it_was_asked_for(tmp_path: Path, write_run: Any, capsys: Any, monkeypatch: Any) -> None:
    write_run("runs/0000")
    monkeypatch.chdir(tmp_path)
    assert main(["report", "runs", "--out", "page.html"]) == 0
    assert 'href="runs/0000/"' in Path("page.html").read_text()


def test_mistakes_end_with_status_2(tmp_path: Path, write_run: Any, capsys: Any) -> None:
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "is not a directory" in capsys.readouterr().err
    write_run("0000")
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "none" / "x.html")]) == 2
    out = tmp_path / "none" / "x.html"  # and no draft of it
    message = f"analysis: {out} cannot be written (No such file or directory); choose another --out\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("watch", [[], ["--watch"]])
def test_a_directory_is_no_place_for_a_page(tmp_path: Path, write_run: Any, capsys: Any, watch: list[str]) -> None:
    write_run("0000")
    assert main(["report", str(tmp_path), "--out", str(tmp_path), *watch]) == 2
    page = tmp_path / "report.html"
    assert capsys.readouterr().err == f"analysis: {tmp_path} is a directory; give a file, such as --out {page}\n"


def test_a_page_is_replaced_at_once_or_not_at_all(tmp_path: Path, write_run: Any, monkeypatch: Any) -> None:
    write_run("0000")
    page = Path(write_report(str(tmp_path)))
    before = page.read_text()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, "replace", fail)
    with pytest.raises(ValueError, match=re.escape(f"{page} cannot be written (No space left on device)")):
        write_report(str(tmp_path))
    assert page.read_text() == before
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.slow
def test_a_report_of_300_trials_stays_below_10_megabytes(tmp_path: Path) -> None:
    write_search(tmp_path, trials=300, epochs=30)
    page = Path(write_report(str(tmp_path)))
    assert page.stat().st_size < 10e6
    assert "303 runs;" in page.read_text()


def test_watching_ends_when_nothing_runs(tmp_path: Path, write_run: Any, monkeypatch: Any) -> None:
    """Between two looks: nothing, an epoch, the end."""
    run = write_run("grid/0000", ended=False)
    _beat(run, 10)
    pages, told = [], []

    def end() -> None:
        (run / "result.json").write_text(json.dumps(RESULT))

    events = iter([lambda: None, lambda: _beat(run, 5), end])

    def sleep(_: float) -> None:
        pages.append((tmp_path / "report.html").stat().st_mtime_ns)
        next(events)()

    monkeypatch.setattr(write.time, "sleep", sleep)
    watch_report(str(tmp_path), tell=told.append)
    path = tmp_path / "report.html"
    at_work = f"{path}: 0 complete, 0 pruned, 0 failed, 1 running, 0 stale, 0 missing"
    assert told == [at_work, at_work, f"{path}: 1 complete, 0 pruned, 0 failed, 0 running, 0 stale, 0 missing"]
    assert pages[0] == pages[1] != pages[2]  # not rewritten where nothing changed
    assert "so reload it" not in path.read_text()


def test_a_watcher_waits_for_the_first_run(tmp_path: Path, write_run: Any, monkeypatch: Any) -> None:
    told: list[str] = []
    events = iter([lambda: None, lambda: write_run("0000")])
    monkeypatch.setattr(write.time, "sleep", lambda _: next(events)())
    watch_report(str(tmp_path), tell=told.append)
    page = f"{tmp_path / 'report.html'}: 1 complete, 0 pruned, 0 failed, 0 running, 0 stale, 0 missing"
    assert told == [f"{tmp_path}: waiting for the first run", page]


def test_a_watcher_waits_no_longer_than_the_silence(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(write.time, "sleep", lambda _: monkeypatch.setattr(write, "SILENCE", 0.0))
    assert main(["report", str(tmp_path), "--watch"]) == 2
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}: waiting for the first run\n"
    assert err.startswith(f"analysis: {tmp_path} holds no run")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("odd")])
def test_a_watcher_tells_an_error_once_and_tries_again(
    tmp_path: Path, write_run: Any, monkeypatch: Any, error: Exception
) -> None:
    run = write_run("0000", ended=False)
    _beat(run)
    written = write_report
    told: list[str] = []

    def fail(*_: Any) -> None:
        raise error

    def end() -> None:
        monkeypatch.setattr(write, "write_report", written)
        (run / "result.json").write_text(json.dumps(RESULT))

    monkeypatch.setattr(write, "write_report", fail)
    events = iter([lambda: None, lambda: None, end])
    monkeypatch.setattr(write.time, "sleep", lambda _: next(events)())
    watch_report(str(tmp_path), tell=told.append)
    page = f"{tmp_path / 'report.html'}: 1 complete, 0 pruned, 0 failed, 0 running, 0 stale, 0 missing"
    assert told == [f"{error}; trying again", page]


def test_an_error_that_stays_ends_the_watch(tmp_path: Path, write_run: Any, monkeypatch: Any, capsys: Any) -> None:
    write_run("0000")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "gather", fail)
    monkeypatch.setattr(write.time, "sleep", lambda _: monkeypatch.setattr(write, "SILENCE", 0.0))
    assert main(["report", str(tmp_path), "--watch"]) == 2
    assert capsys.readouterr().err == "analysis: [Errno 28] No space left on device\n"


def test_a_directory_that_goes_ends_the_watch(tmp_path: Path, write_run: Any, monkeypatch: Any, capsys: Any) -> None:
    assert main(["report", str(tmp_path / "runs"), "--watch"]) == 2
    assert "is not a directory" in capsys.readouterr().err
    _beat(write_run("runs/0000", ended=False))
    monkeypatch.setattr(write.time, "sleep", lambda _: shutil.rmtree(tmp_path / "runs"))
    assert main(["report", str(tmp_path / "runs"), "--watch"]) == 2
    assert "is not a directory" in capsys.readouterr().err


def test_what_is_missing_may_be_about_to_start(
    tmp_path: Path, write_run: Any, write_sweep: Any, monkeypatch: Any
) -> None:
    run = write_run("grid/0000", seed=0)
    write_sweep({"study": "grid", "kind": "grid", "n_trials": 2, "cells": [{"seed": "0"}, {"seed": "1"}]})
    _age(60, run / "result.json", tmp_path / "sweep.json")
    looks, told = [], []

    def sleep(_: float) -> None:
        looks.append((tmp_path / "report.html").read_text())
        _age(600, run / "result.json", tmp_path / "sweep.json")

    monkeypatch.setattr(write.time, "sleep", sleep)
    watch_report(str(tmp_path), tell=told.append)
    assert len(looks) == 1 and "so reload it now and then" in looks[0]
    assert len(told) == 2


def test_a_sweep_that_has_only_a_plan_is_about_to_start(tmp_path: Path, write_sweep: Any, monkeypatch: Any) -> None:
    write_sweep({"study": "grid", "kind": "grid", "n_trials": 1, "cells": [{"seed": "0"}]})
    looks = []

    def sleep(_: float) -> None:
        looks.append((tmp_path / "report.html").exists())
        _age(600, tmp_path / "sweep.json")

    monkeypatch.setattr(write.time, "sleep", sleep)
    watch_report(str(tmp_path), tell=lambda line: None)
    assert looks == [True]


def test_a_watcher_can_be_stopped(tmp_path: Path, write_run: Any, monkeypatch: Any, capsys: Any) -> None:
    _beat(write_run("0000", ended=False))

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write.time, "sleep", stop)
    assert main(["report", str(tmp_path), "--watch"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "stopped watching; the page stays as it is"


def test_a_report_imports_neither_torch_nor_hydra(search: Path) -> None:
    code = (
        "import sys\n"
        "from analysis.__main__ import main\n"
        f"main(['report', {str(search)!r}])\n"
        "print(sorted({'torch', 'tffd', 'hydra', 'matplotlib'} & set(sys.modules)))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, check=True, capture_output=True).stdout
    assert out.splitlines()[-1] == "[]"

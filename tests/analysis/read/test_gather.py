"""Every run is found and classified; nothing that is not one is dropped in silence."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from analysis.read import tree as scanning
from analysis.read.faults import Fault
from analysis.read.gather import Duplicate, gather
from analysis.read.tree import unfinished_status
from analysis.select.inventory import left_out
from tests.analysis.notes import faults


def _status(gathered: Any) -> dict[str, str]:
    return {
        Path(path).name: status for path, status in zip(gathered.runs["path"], gathered.runs["status"], strict=True)
    }


def test_one_row_a_run_at_any_depth(tmp_path: Path, write_run: Any) -> None:
    write_run("a", kd_mode="none", val_top1=60.5)
    write_run("deep/er/b", kd_mode="tfd", lambda_intra=8e-4, train_size=500)
    runs = gather(tmp_path).runs
    assert list(runs["path"]) == [str(tmp_path / "a"), str(tmp_path / "deep/er/b")]
    assert list(runs["kd_mode"]) == ["none", "tfd"]
    assert list(runs["val_top1"]) == [60.5, 60.0]
    assert runs["train_size"].isna().tolist() == [True, False]
    assert runs["train_size"][1] == 500
    assert list(runs["versions.torch"]) == ["2.9.0", "2.9.0"]


def test_a_run_directory_alone(write_run: Any) -> None:
    assert len(gather(write_run("terms/0000")).runs) == 1


def test_a_run_below_a_thousand_directories_is_found(tmp_path: Path) -> None:
    here = os.getcwd()
    try:
        for name in ("top", *"d" * 1200):
            os.mkdir(tmp_path / "top" if name == "top" else name)
            os.chdir(tmp_path / "top" if name == "top" else name)
        Path("result.json").write_text('{"status": "complete"}')
    finally:
        os.chdir(here)
    (run,) = gather(tmp_path).runs["path"]
    assert run.endswith("/d/d")
    for end in range(len(run), len(str(tmp_path)), -2):  # pytest would recurse to remove it
        if run[:end].endswith("/d/d"):
            Path(run[:end], "result.json").unlink(missing_ok=True)
            os.rmdir(run[:end])


def test_statuses(tmp_path: Path, write_run: Any) -> None:
    write_run("0000")
    write_run("0001", status="pruned")
    write_run("0002", status="failed", error="ValueError: no\nmore")
    write_run("0003", ended=False)
    gathered = gather(tmp_path)
    assert _status(gathered) == {"0000": "complete", "0001": "pruned", "0002": "failed", "0003": "stale"}
    expected = {"complete": 1, "pruned": 1, "failed": 1, "running": 0, "stale": 1, "missing": 0, "skipped": 0}
    assert gathered.counts() == expected | {"duplicate": 0, "teacher": 0}


def test_a_run_that_gave_a_sign_of_life_is_running(tmp_path: Path, write_run: Any) -> None:
    beating, training, begun = (write_run(name, ended=False) for name in ("0000", "0001", "0002"))
    (beating / "heartbeat").touch()
    os.utime(training / "metrics.csv")
    (begun / "metrics.csv").unlink()
    os.utime(begun / ".hydra" / "config.yaml")
    dead = write_run("0003", ended=False)
    (dead / "heartbeat").touch()
    os.utime(dead / "metrics.csv")
    os.utime(dead / "heartbeat", (1e9, 1e9))  # where there is a heartbeat, nothing else counts
    assert _status(gather(tmp_path)) == {"0000": "running", "0001": "running", "0002": "running", "0003": "stale"}


@pytest.mark.parametrize(("age", "status"), [(-5.0, "running"), (0.0, "running"), (119.0, "running"), (120.0, "stale")])
def test_silence_of_two_minutes_is_stale(tmp_path: Path, age: float, status: str) -> None:
    (tmp_path / "heartbeat").touch()
    os.utime(tmp_path / "heartbeat", (1000.0, 1000.0))
    assert unfinished_status(str(tmp_path), now=1000.0 + age) == status
    assert unfinished_status(str(tmp_path / "gone")) == "stale"


def test_traces_of_a_run_without_its_config_are_reported(tmp_path: Path, write_run: Any) -> None:
    write_run("0000")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "metrics.csv").write_text("a,b\n")
    gathered = gather(tmp_path)
    assert len(gathered.runs) == 1
    assert faults(gathered.skipped, tmp_path) == [("foreign", Fault.NOT_A_RUN)]
    assert "metrics.csv" in gathered.skipped[0].reason


def test_a_config_above_runs_makes_no_run(tmp_path: Path, write_run: Any, write_sweep: Any) -> None:
    write_run("nested", ended=False)
    write_run("nested/0000")
    write_run("planned", ended=False)
    write_sweep(path="planned")  # a sweep that has not begun its first run
    assert _status(gather(tmp_path)) == {"0000": "complete"}


def test_hidden_and_linked_directories_are_not_followed(tmp_path: Path, write_run: Any) -> None:
    run = write_run("0000")
    write_run(".trash/0001")
    (tmp_path / "latest").symlink_to(run)
    (tmp_path / "loop").symlink_to(tmp_path)
    gathered = gather(tmp_path)
    assert list(gathered.runs["path"]) == [str(run)]
    assert gathered.skipped == ()


def test_links_that_lead_elsewhere_or_nowhere_are_reported(tmp_path: Path, write_run: Any) -> None:
    write_run("here/0000")
    write_run("elsewhere/0001")
    (tmp_path / "here" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here" / "loop").symlink_to("loop")
    gathered = gather(tmp_path / "here")
    assert _status(gathered) == {"0000": "complete"}
    expected = [("loop", Fault.BROKEN_LINK), ("more", Fault.LINK_ELSEWHERE)]
    assert faults(gathered.skipped, tmp_path / "here") == expected


@pytest.mark.parametrize(
    ("content", "fault", "named"),
    [
        (b"", Fault.EMPTY, ""),
        (b'{"status": "compl', Fault.NOT_JSON, "char 11"),
        (b"\xff\xfe\xfa", Fault.NOT_JSON, ""),
        (b"[" * 100_000, Fault.NOT_JSON, ""),
        (b"[1, 2]", Fault.NOT_A_RESULT, ""),
        (b'{"accuracy": 3}', Fault.NOT_A_RESULT, "status"),
        (b'{"status": "done"}', Fault.NOT_A_RESULT, "'done', not one of complete, pruned, failed"),
        (b'{"status": ["complete"]}', Fault.NOT_A_RESULT, "['complete']"),
        (b'{"status": "complete", "val_top1": "61"}', Fault.WRONG_TYPE, "val_top1 = '61'"),
        (b'{"status": "complete", "seed": 0.5}', Fault.WRONG_TYPE, "seed = 0.5, which is not a whole number"),
        (b'{"status": "complete", "seed": true}', Fault.WRONG_TYPE, "seed = True"),
        (b'{"status": "complete", "parameters": 99999999999999999999}', Fault.WRONG_TYPE, "99999999999999999999"),
        (b'{"status": "complete", "model": {"a": 1}}', Fault.WRONG_TYPE, "model = {'a': 1}"),
        (b'{"status": "complete", "val_top1": 610}', Fault.IMPOSSIBLE, "val_top1 = 610"),
        (b'{"status": "complete", "best_test_top1": -0.5}', Fault.IMPOSSIBLE, "best_test_top1 = -0.5"),
        (b'{"status": "complete", "val_loss": 1e308}', Fault.IMPOSSIBLE, "val_loss = 1e+308"),
        (b'{"status": "complete", "test_loss": Infinity}', Fault.IMPOSSIBLE, "test_loss = inf"),
        (b'{"status": "complete", "val_loss": -0.5}', Fault.IMPOSSIBLE, "val_loss = -0.5"),
        (b'{"status": "complete", "epochs_run": -1}', Fault.IMPOSSIBLE, "epochs_run = -1"),
        (b'{"status": "complete", "extra": {"score": -1e300}}', Fault.IMPOSSIBLE, "extra.score = -1e+300"),
        (b'{"status": "complete", "extra": 1%s}' % (b"0" * 400), Fault.IMPOSSIBLE, "100000000000... (401 digits)"),
    ],
)
def test_broken_results_are_reported_by_path(
    tmp_path: Path, write_run: Any, content: bytes, fault: Fault, named: str
) -> None:
    write_run("0000")
    path = write_run("0001", ended=False) / "result.json"
    path.write_bytes(content)
    gathered = gather(tmp_path)
    assert _status(gathered) == {"0000": "complete"}
    assert faults(gathered.skipped, tmp_path) == [("0001/result.json", fault)]
    assert named in gathered.skipped[0].reason


@pytest.mark.parametrize("path", [None, "/elsewhere", 3])
def test_a_result_does_not_say_where_it_lies(tmp_path: Path, write_run: Any, path: Any) -> None:
    run = write_run("0000")
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"path": path}))
    assert list(gather(tmp_path).runs["path"]) == [str(run)]


def test_a_directory_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: Any, write_run: Any) -> None:
    write_run("0000")
    write_run("locked/0001")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(scanning.os, "scandir", refuse)
    gathered = gather(tmp_path)
    assert faults(gathered.skipped, tmp_path) == [("locked", Fault.UNREADABLE)]


def test_structure_inside_a_result_stays_groupable(tmp_path: Path, write_run: Any) -> None:
    write_run("0000", notes=[1, 2], extra={"deep": {"er": 1}, "score": 2.5})
    run = gather(tmp_path).runs.iloc[0]
    assert (run["notes"], run["extra.deep"], run["extra.score"]) == ("[1, 2]", '{"er": 1}', 2.5)


def test_runs_that_vanish_during_the_scan(tmp_path: Path, write_run: Any, monkeypatch: Any) -> None:
    write_run("0000")
    killed, removed = write_run("0001"), write_run("0002")
    found = scanning.scan(str(tmp_path))
    found.sweeps.append(str(tmp_path / "gone"))
    (killed / "result.json").unlink()
    for path in (removed / "result.json", removed / ".hydra" / "config.yaml"):
        path.unlink()
    monkeypatch.setattr("analysis.read.gather.scan", lambda directory: found)
    gathered = gather(tmp_path)
    assert _status(gathered) == {"0000": "complete", "0001": "stale"}
    assert gathered.skipped == ()


def test_directories_that_vanish_during_the_scan(tmp_path: Path, write_run: Any, monkeypatch: Any) -> None:
    write_run("0000")
    write_run("0001")
    scandir = os.scandir

    def vanish(path: str) -> Any:
        if path.endswith("0001"):
            raise FileNotFoundError(2, "No such file or directory")
        return scandir(path)

    monkeypatch.setattr(scanning.os, "scandir", vanish)
    gathered = gather(tmp_path)
    assert _status(gathered) == {"0000": "complete"}
    assert gathered.skipped == ()


def test_the_newest_complete_run_of_a_configuration_counts(tmp_path: Path, write_run: Any) -> None:
    write_run("0000", config_hash="same", finished="2026-11-24T10:00:00+00:00")
    write_run("0001", config_hash="same", finished="2026-11-24T12:30:00+02:00")  # newer, whatever the zone
    write_run("0002", config_hash="same", finished="2026-11-24T11:00:00+00:00", status="failed")
    write_run("0003", config_hash="same", finished=None)
    gathered = gather(tmp_path)
    kept = str(tmp_path / "0001")
    assert list(gathered.runs["path"]) == [kept]
    assert gathered.duplicates == (
        Duplicate(str(tmp_path / "0000"), "complete", kept),
        Duplicate(str(tmp_path / "0002"), "failed", kept),
        Duplicate(str(tmp_path / "0003"), "complete", kept),
    )


def test_without_a_hash_of_the_whole_the_settings_and_the_seed_tell_duplicates(tmp_path: Path, write_run: Any) -> None:
    for number, seed in enumerate((0, 0, 1)):
        write_run(f"{number:04d}", config_hash=None, seed=seed, finished=f"2026-11-24T1{number}:00:00+00:00")
    for number in (3, 4):
        write_run(f"{number:04d}", config_hash=None, settings_hash=None)
    gathered = gather(tmp_path)
    assert list(_status(gathered)) == ["0001", "0002", "0003", "0004"]
    assert gathered.duplicates == (Duplicate(str(tmp_path / "0000"), "complete", str(tmp_path / "0001")),)


def test_the_whole_has_the_duplicates_too(tmp_path: Path, write_run: Any) -> None:
    for number, value in enumerate((60.0, 61.0)):
        write_run(f"{number:04d}", config_hash="same", val_top1=value)
    gathered = gather(tmp_path)
    assert list(gathered.runs["val_top1"]) == [61.0]
    assert list(gathered.whole().runs["val_top1"]) == [60.0, 61.0]
    assert gathered.whole().counts() == gathered.counts() | {"complete": 2, "duplicate": 0}


def test_no_run_is_an_empty_frame_with_every_column(tmp_path: Path) -> None:
    gathered = gather(tmp_path)
    assert len(gathered.runs) == 0
    assert gathered.counts()["complete"] == 0
    assert {"path", "status", "val_top1", "settings_hash"} <= set(gathered.runs.columns)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none is not a directory; give the one that holds the runs"):
        gather(tmp_path / "none")


def test_thousands_of_runs(tmp_path: Path) -> None:
    result = {"status": "complete", "kd_mode": "tfd", "val_top1": 60.0}
    for number in range(2000):
        run = tmp_path / "search" / f"{number:04d}"
        run.mkdir(parents=True)
        (run / "result.json").write_text(json.dumps(result | {"trial": number, "config_hash": str(number)}))
    runs = gather(tmp_path).runs
    assert list(runs["trial"]) == list(range(2000))


def test_a_complete_teacher_is_no_row_but_is_told(tmp_path: Path, write_run: Any) -> None:
    """Its accuracy is none of what is compared; one that failed is a failure like any other."""
    write_run("x/teacher/0000", study="teacher", model="resnet110")
    write_run("x/teacher/0001", study="teacher", model="resnet56", status="failed", error="killed")
    write_run("x/grid/0000", study="grid", kd_mode="st", teacher="resnet110")
    gathered = gather(tmp_path)
    assert gathered.runs[["model", "status"]].to_numpy().tolist() == [["resnet20", "complete"], ["resnet56", "failed"]]
    assert gathered.teachers["model"].tolist() == ["resnet110"]
    assert (gathered.counts()["complete"], gathered.counts()["teacher"]) == (1, 1)
    (told,) = [line for line in left_out(gathered) if f"{tmp_path}/x/teacher/0000" in line]
    assert told.startswith("teacher")

"""One trial from config to record: what it leaves, what it reads, and how it goes on."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.support import TINY, compose_config, places
from tffd import session
from tffd import trial as trial_module
from tffd.checkpoints import load_weights
from tffd.config import require_config
from tffd.data import digest_content
from tffd.failures import Failure, FailureKind
from tffd.identity import describe_run
from tffd.machine import peak_memory_mb
from tffd.models import create_model
from tffd.records import INTERRUPT, PRUNE, ask_to_stop, read_result
from tffd.session import Session
from tffd.teacher import Measured
from tffd.training.progress import EpochReporter
from tffd.trial import RunInterrupted, RunInUse, record_loss, run_trial

# DESIGN.md's fixed names, which other people's scripts rely on.
FIELDS = {
    "status", "error", "name", "study", "trial", "model", "dataset", "kd_mode", "lambda_intra", "lambda_inter", "seed",
    "protocol", "epochs", "epochs_run", "val_top1", "val_top5", "val_loss", "best_val_top1", "best_val_epoch",
    "test_top1", "test_top5", "test_loss", "best_test_top1", "train_seconds", "images_per_second", "peak_memory_mb",
    "parameters", "device", "threads", "versions", "git_commit", "started", "finished", "config_hash", "precision",
    "weights", "data",
}  # fmt: skip


class Killed(BaseException):
    """Stands in for a signal: nothing in the trial may catch it."""


class KilledAt(EpochReporter):
    """Ends the run after an epoch, once its checkpoint could be written."""

    def __init__(self, epoch: int) -> None:
        super().__init__(Console(file=io.StringIO()))
        self._at = epoch

    def epoch(self, row: dict[str, float]) -> None:
        if row["epoch"] > self._at:
            raise Killed


class AskedAt(EpochReporter):
    """Asks the run to stop, as a sweep does, before the end of an epoch; and looks for its sign of life."""

    def __init__(self, epoch: int, how: str, run_dir: Path) -> None:
        super().__init__(Console(file=io.StringIO()))
        self._at, self._how, self._run_dir = epoch, how, run_dir
        self.alive: list[bool] = []

    def epoch(self, row: dict[str, float]) -> None:
        self.alive.append((self._run_dir / "heartbeat").exists())
        if row["epoch"] == self._at:
            ask_to_stop(self._run_dir, self._how)


def run(directory: Path, *overrides: str, where: str = "run", reporter: EpochReporter | None = None) -> dict[str, Any]:
    cfg = compose_config(*places(directory), *TINY, *overrides)
    return run_trial(require_config(cfg), directory / where, reporter or EpochReporter(Console(file=io.StringIO())))


def test_a_run_leaves_its_record(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.keys() >= FIELDS
    assert (result["status"], result["error"], result["epochs_run"]) == ("complete", None, 2)
    assert 0 <= result["val_top1"] <= result["best_val_top1"] <= 100
    assert result["parameters"] == sum(p.numel() for p in create_model("resnet8", 10, in_channels=1).parameters())
    assert (result["threads"], result["classes"]) == (1, 10)
    assert (read_result(tmp_path / "run") or {})["term_weights"] == {"intra": 8e-4, "inter": 5e-4}
    assert result["data"] == digest_content("digits-test500")
    assert (result["split"]["train"], result["split"]["val"]) == (200, 389)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"metrics.csv", "result.json", "saliency.csv", "weights.pt", ".lock"}
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3
    load_weights(create_model("resnet8", 10, in_channels=1), tmp_path / "run" / "weights.pt")


def test_parts_of_a_mode_do_not_count_as_the_student_and_what_is_not_compiled_is_told(tmp_path: Path) -> None:
    """Of a run that ends before its first epoch."""

    class NotBegun(EpochReporter):
        def run(self, *args: Any, **settings: Any) -> Any:
            raise Killed

    mode = ("kd_mode=[crd,tfd]", "teacher=resnet14", "teacher.checkpoint=auto", "trainer.compile=true")
    config, told = require_config(compose_config(*places(tmp_path), *TINY, *mode)), io.StringIO()
    result = describe_run(config, study=None, trial=None, started="")
    with pytest.raises(Killed):
        Session(config, tmp_path, NotBegun(Console(file=told, width=200)), [], result).train(None)
    assert result["parameters"] == sum(p.numel() for p in create_model("resnet8", 10, in_channels=1).parameters())
    assert result["mode_parameters"] == 2 * (64 * 128 + 128)  # a linear layer for each network's pooled features
    assert told.getvalue().splitlines() == [
        "trainer.compile=true: not with kd_mode=crd, whose steps run as they are",
    ]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux lets a process reset its peak")
def test_the_peak_of_memory_is_that_of_the_run(tmp_path: Path) -> None:
    """And not of what its process held before, or the process that started it."""
    block = np.ones(2**25)  # 256 MiB
    before = peak_memory_mb(torch.device("cpu"))
    del block
    result = run(tmp_path)
    assert 50 < result["peak_memory_mb"] < before - 128  # the run itself needs some of it again
    np.ones(2**25)
    assert peak_memory_mb(torch.device("cpu")) > result["peak_memory_mb"] + 64


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_gone_is_recorded_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a job that a sweep resolved to cuda, and whose node has none."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(ValueError):
        run(tmp_path, "device=cuda")
    record = read_result(tmp_path / "run")
    assert record is not None and (record["status"], record["precision"]) == ("failed", "bf16")
    assert record["error"].startswith(
        "DeviceMissing: device=cuda: PyTorch sees no CUDA device here with CUDA_VISIBLE_DEVICES=3; use"
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_run_on_a_card_records_its_precision_and_leaves_weights_for_any_device(
    tmp_path: Path, precision: str
) -> None:
    result = run(tmp_path, "device=cuda", f"trainer.precision={precision}")
    assert (result["status"], result["precision"]) == ("complete", precision)
    weights = torch.load(tmp_path / "run" / "weights.pt", weights_only=True)["model"]
    assert {tensor.device.type for tensor in weights.values()} == {"cpu"}


def test_the_same_seed_gives_the_same_metrics_to_the_last_bit(tmp_path: Path) -> None:
    metrics = []
    for where, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path, f"seed={seed}", where=where)
        metrics.append((tmp_path / where / "metrics.csv").read_bytes())
    assert metrics[0] == metrics[1]
    assert metrics[0] != metrics[2]


def test_lambdas_of_zero_are_the_baseline_exactly(tmp_path: Path) -> None:
    baseline = run(tmp_path, "kd_mode=none", where="none")
    zero = run(tmp_path, "lambda_intra=0", "lambda_inter=0", where="zero")
    some = run(tmp_path, "lambda_intra=0.1", where="some")
    assert (zero["val_loss"], zero["val_top1"]) == (baseline["val_loss"], baseline["val_top1"])
    assert some["val_loss"] != baseline["val_loss"]


def test_a_killed_run_goes_on_and_ends_with_the_same_numbers(tmp_path: Path) -> None:
    overrides = ("trainer.epochs=6", "trainer.checkpoint_every=2")
    whole = run(tmp_path, *overrides, where="whole")
    with pytest.raises(Killed):
        run(tmp_path, *overrides, where="killed", reporter=KilledAt(4))
    assert (tmp_path / "killed" / "checkpoint.pt").exists()
    assert not (tmp_path / "killed" / "result.json").exists()
    resumed = run(tmp_path, *overrides, where="killed")
    metrics = [(tmp_path / where / "metrics.csv").read_bytes() for where in ("whole", "killed")]
    assert metrics[0] == metrics[1]
    assert resumed["val_loss"] == whole["val_loss"]
    assert not (tmp_path / "killed" / "checkpoint.pt").exists()
    weights = [torch.load(tmp_path / where / "weights.pt", weights_only=True)["model"] for where in ("whole", "killed")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_resumed_run_keeps_the_number_of_threads_that_it_began_with(tmp_path: Path) -> None:
    overrides = ("trainer.epochs=3", "trainer.checkpoint_every=1")
    with pytest.raises(Killed):
        run(tmp_path, *overrides, reporter=KilledAt(1))
    assert run(tmp_path, *overrides, "threads=2")["threads"] == 1


def test_a_complete_run_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path)
    monkeypatch.setattr(session, "build_parts", None)  # to train again would fail
    assert run(tmp_path) == first


def test_a_directory_of_another_config_is_not_touched(tmp_path: Path) -> None:
    run(tmp_path)
    before = (tmp_path / "run" / "result.json").read_bytes()
    with pytest.raises(ValueError, match="already holds a run of another configuration"):
        run(tmp_path, "seed=5")
    assert (tmp_path / "run" / "result.json").read_bytes() == before


def test_a_failure_is_recorded_and_tried_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loss became nan in epoch 1"):
        run(tmp_path, "trainer.lr=1e9")
    (failed,) = [path.read_text() for path in tmp_path.rglob("result.json")]
    assert '"status": "failed"' in failed
    assert "TrainingDiverged: the training loss became nan" in failed
    with pytest.raises(ValueError, match="loss became nan"):
        run(tmp_path, "trainer.lr=1e9")


@pytest.mark.parametrize(
    ("protocol", "reads_val", "test_rows"), [("validation", True, 0), ("final", False, 1), ("paper", False, 2)]
)
def test_protocols(tmp_path: Path, protocol: str, reads_val: bool, test_rows: int) -> None:
    result = run(tmp_path, f"protocol={protocol}")
    header, *rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    column = header.split(",").index("test_top1") if "test_top1" in header else None
    measured = [row for row in rows if column is not None and row.split(",")[column]]
    assert len(measured) == test_rows
    assert (result["val_top1"] is not None) == reads_val
    assert (result["test_top1"] is not None) == (test_rows > 0)
    assert (result["best_test_top1"] is not None) == (protocol == "paper")
    assert result["split"]["val"] == (389 if reads_val else 0)


def test_two_processes_cannot_train_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    monkeypatch.setattr(trial_module, "_SECONDS_TO_WAIT_FOR_A_DYING_RUN", 0)
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(ValueError, match="another process"):
        run(tmp_path)


def test_a_run_that_is_pruned_has_the_values_of_its_last_epoch(tmp_path: Path) -> None:
    overrides = ("trainer.epochs=6", "trainer.checkpoint_every=1")
    whole = run(tmp_path, *overrides, where="whole")
    pruned = run(tmp_path, *overrides, reporter=AskedAt(3, PRUNE, tmp_path / "run"))
    assert (pruned["status"], pruned["error"], pruned["epochs_run"], pruned["epochs"]) == ("pruned", None, 3, 6)
    rows = [(tmp_path / where / "metrics.csv").read_text().splitlines() for where in ("whole", "run")]
    assert rows[1] == rows[0][:4]
    last = dict(zip(rows[1][0].split(","), rows[1][3].split(","), strict=True))
    assert (pruned["val_top1"], pruned["val_loss"]) == (float(last["val_top1"]), float(last["val_loss"]))
    assert pruned["best_val_epoch"] <= 3
    assert whole["val_loss"] != pruned["val_loss"]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"metrics.csv", "result.json", ".lock"}


def test_a_pruned_run_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path, "trainer.epochs=3", reporter=AskedAt(1, PRUNE, tmp_path / "run"))
    assert first["status"] == "pruned"
    monkeypatch.setattr(session, "build_parts", None)  # to train again would fail
    assert run(tmp_path, "trainer.epochs=3") == first


def test_a_run_that_is_asked_to_stop_in_its_last_epoch_is_complete(tmp_path: Path) -> None:
    result = run(tmp_path, reporter=AskedAt(2, PRUNE, tmp_path / "run"))
    assert (result["status"], result["epochs_run"]) == ("complete", 2)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"metrics.csv", "result.json", "saliency.csv", "weights.pt", ".lock"}


def test_an_interrupted_run_goes_on_and_ends_with_the_same_numbers(tmp_path: Path) -> None:
    whole = run(tmp_path, "trainer.epochs=5", where="whole")
    with pytest.raises(RunInterrupted, match="asked to stop after epoch 2"):
        run(tmp_path, "trainer.epochs=5", reporter=AskedAt(2, INTERRUPT, tmp_path / "run"))
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    assert read_result(tmp_path / "run") is None
    (tmp_path / "run" / "stop").unlink()  # as the sweep does
    resumed = run(tmp_path, "trainer.epochs=5")
    assert resumed["val_loss"] == whole["val_loss"]
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()
    weights = [torch.load(tmp_path / where / "weights.pt", weights_only=True)["model"] for where in ("whole", "run")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.parametrize("momentum", ["new", "keep"])
@pytest.mark.parametrize("ended", [2, 4], ids=["first stage", "run proper"])
def test_a_run_killed_in_or_after_its_first_stage_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, momentum: str, ended: int
) -> None:
    """Its first stage has a metrics file of its own; killed in the third epoch of three, or the second of the run."""
    weak = Measured(1.0, "val", 10)  # which its teacher is, after an epoch
    monkeypatch.setattr(session, "measure_teacher", lambda *args, **settings: weak)

    class KilledIn(KilledAt):
        def first_stage(self, row: dict[str, float], epochs: int) -> None:
            assert epochs == 3
            self.epoch(row)

        def epoch(self, row: dict[str, float]) -> None:
            super().epoch({"epoch": row["epoch"] + 3 * ("train_top1" in row)})

    mode = ("kd_mode=ab", "kd_mode.ab.first_stage_epochs=3", "kd_mode.ab.first_stage_milestones=[0.5]")
    options = ("kd_mode.ab.first_stage_decay=all", f"kd_mode.ab.first_stage_momentum={momentum}")
    teacher = ("teacher=resnet14", "teacher.checkpoint=auto", "+teacher.trainer.epochs=1")
    overrides = (*mode, *options, *teacher, "trainer.checkpoint_every=1", "dataset.train_size=100")
    whole = run(tmp_path, *overrides, where="whole")
    with pytest.raises(Killed):
        run(tmp_path, *overrides, reporter=KilledIn(ended))
    resumed = run(tmp_path, *overrides)
    assert resumed["val_loss"] == whole["val_loss"]
    for name, rows in (("first_stage.csv", 3), ("metrics.csv", 2)):
        text = (tmp_path / "run" / name).read_text()
        assert len(text.splitlines()) == 1 + rows and text == (tmp_path / "whole" / name).read_text()


def test_a_run_gives_signs_of_life_while_it_is_at_work(tmp_path: Path) -> None:
    watching = AskedAt(99, PRUNE, tmp_path / "run")
    run(tmp_path, reporter=watching)
    assert watching.alive == [True, True]
    assert not (tmp_path / "run" / "heartbeat").exists()
    with pytest.raises(ValueError, match="loss became nan"):
        run(tmp_path, "trainer.lr=1e9", where="failed")
    assert not (tmp_path / "failed" / "heartbeat").exists()


def lose(directory: Path, reason: str = "the process was killed") -> None:
    config = require_config(compose_config(*places(directory), *TINY))
    record_loss(config, directory / "run", Failure(FailureKind.LOST, reason), study="search", trial=7)


def test_a_lost_run_has_a_record_with_its_epochs(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, reporter=KilledAt(0))
    lose(tmp_path)
    record = read_result(tmp_path / "run")
    assert record is not None
    assert record.keys() >= FIELDS
    assert (record["status"], record["error"], record["failure"]) == ("failed", "the process was killed", "lost")
    assert (record["study"], record["trial"], record["epochs_run"]) == ("search", 7, 1)
    complete = run(tmp_path)
    assert (complete["status"], complete["config_hash"]) == ("complete", record["config_hash"])


def test_a_loss_is_not_recorded_while_the_run_is_at_work(tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(RunInUse, match="another process is training this very"):
        lose(tmp_path)
    assert read_result(tmp_path / "run") is None
    lose(tmp_path)
    assert read_result(tmp_path / "run") is not None


def test_a_loss_does_not_replace_the_record_of_a_run_that_ended_after_all(tmp_path: Path) -> None:
    result = run(tmp_path)
    lose(tmp_path)
    assert read_result(tmp_path / "run") == result

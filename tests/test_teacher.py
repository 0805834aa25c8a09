"""A run's teacher: trained first or loaded, measured, recorded, and idle where no kd_mode needs it."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from rich.console import Console

from tests.support import TINY, compose_config, places
from tests.test_trial import Killed, KilledAt
from tffd import trial as trial_module
from tffd.build import build_data, build_parts
from tffd.checks import check_config
from tffd.config import require_config
from tffd.failures import Failure, FailureKind
from tffd.identity import hash_config, run_name, teacher_run
from tffd.models import ModelOutput, create_model
from tffd.records import INTERRUPT, ask_to_stop
from tffd.refusal import ConfigError
from tffd.schema import Config
from tffd.session import RunInterrupted
from tffd.teacher import WeakTeacher, find_teacher, measure_teacher
from tffd.training.progress import EpochReporter
from tffd.trial import run_trial

AUTO = ("teacher=resnet14", "teacher.checkpoint=auto")


def config_of(directory: Path, *overrides: str) -> Config:
    return require_config(compose_config(*places(directory), *TINY, *overrides))


def run(directory: Path, *overrides: str, reporter: EpochReporter | None = None) -> dict[str, Any]:
    config = config_of(directory, *overrides)
    where = directory / "results" / "default" / run_name(config)
    return run_trial(config, where, reporter or EpochReporter(Console(file=io.StringIO())))


def faults_of(directory: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_config(compose_config(*places(directory), *TINY, *overrides))
    return caught.value.faults


def saved(directory: Path, classes: int = 10, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    path = directory / f"teacher-{classes}-{seed}.pth"
    torch.save({"model": create_model("resnet14", classes, in_channels=1).state_dict()}, path)
    return path


# --- trained first


@pytest.mark.parametrize("name", [".hydra", ".hydra/config.yaml", "metrics.csv"])
def test_a_teacher_is_not_trained_through_links(tmp_path: Path, name: str) -> None:
    overrides = ("kd_mode=st", *AUTO)
    teacher = teacher_run(config_of(tmp_path, *overrides))
    victim = tmp_path / "victim"
    victim.mkdir()
    path = tmp_path / "results" / "default" / run_name(teacher) / name
    path.parent.mkdir(parents=True)
    path.symlink_to(victim if name == ".hydra" else victim / "file")
    with pytest.raises(ValueError, match="is a link, and the run would write through it"):
        run(tmp_path, *overrides)
    assert not list(victim.iterdir())


def test_auto_trains_one_teacher_for_all_students(tmp_path: Path) -> None:
    first = run(tmp_path, "kd_mode=tfd_plus", *AUTO)
    (path,) = (tmp_path / "results" / "default").glob("resnet14-*/result.json")
    teacher = json.loads(path.read_text())
    assert (teacher["study"], teacher["kd_mode"], teacher["seed"], teacher["status"]) == (
        "teacher",
        "none",
        0,
        "complete",
    )
    assert (first["kd_mode"], first["teacher"], first["status"]) == ("st+tfd", "resnet14", "complete")
    # Measured on the same held-out pictures, in eval mode: the figure is the teacher's own.
    assert (first["teacher_split"], first["teacher_top1"]) == ("val", pytest.approx(teacher["val_top1"]))
    config = require_config(compose_config(*places(tmp_path), *TINY, "model=resnet14", "kd_mode=none"))
    assert path.parent.name == run_name(config)  # the run that one would start by hand

    stamp = path.stat().st_mtime_ns
    other = run(tmp_path, "kd_mode=at", "seed=1", "name=other", *AUTO)
    assert other["teacher_digest"] == first["teacher_digest"]
    assert path.stat().st_mtime_ns == stamp and len(list(tmp_path.rglob("resnet14-*/result.json"))) == 1


def test_another_trainer_or_split_has_another_teacher(tmp_path: Path) -> None:
    def hash_of(*overrides: str) -> str:
        return hash_config(teacher_run(config_of(tmp_path, "kd_mode=st", *AUTO, *overrides))).run

    same = [(), ("seed=3",), ("model=resnet20",), ("kd_mode=[st,tfd]",), ("lambda_intra=1",), ("name=b",)]
    assert len({hash_of(*overrides) for overrides in same}) == 1
    others = [(), ("trainer.lr=0.01",), ("protocol.split_seed=1",), ("protocol=final",), ("dataset.train_size=100",)]
    assert len({hash_of(*overrides) for overrides in others}) == len(others)
    fixed = [("+teacher.trainer.lr=0.05",), ("+teacher.trainer.lr=0.05", "trainer.lr=0.01")]
    assert len({hash_of(*overrides) for overrides in fixed}) == 1


@pytest.mark.parametrize("epoch", [1, 2])
def test_killed_in_the_teacher_s_training_or_in_the_student_s(epoch: int, tmp_path: Path) -> None:
    """It goes on to the same numbers: the teacher's three epochs, then the student's."""

    class KilledInRun(KilledAt):
        def run(self, config: Config, resumed_at: int) -> Any:
            self._at = epoch if config.model.name == victim else 99
            return super().run(config, resumed_at)

    settings = ("kd_mode=fitnet", "trainer.epochs=3", "trainer.checkpoint_every=1", *AUTO)
    expected = run(tmp_path / "whole", *settings)
    for victim in ("resnet14", "resnet8"):
        with pytest.raises(Killed):
            run(tmp_path / victim, *settings, reporter=KilledInRun(epoch))
        actual = run(tmp_path / victim, *settings)
        for name in ("val_loss", "val_top1", "teacher_digest", "teacher_top1"):
            assert actual[name] == expected[name], (victim, name)


def test_waits_while_another_process_trains_the_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And may be asked to stop meanwhile."""
    monkeypatch.setattr(trial_module, "_SECONDS_TO_WAIT_FOR_A_DYING_RUN", 0.05)
    config = config_of(tmp_path, "kd_mode=st", *AUTO)
    directory = tmp_path / "results" / "default"
    ask_to_stop(directory / run_name(config), INTERRUPT)
    teacher = directory / run_name(teacher_run(config))
    teacher.mkdir(parents=True)
    with FileLock(teacher / ".lock"), pytest.raises(RunInterrupted, match="while another process trained the teacher"):
        run(tmp_path, "kd_mode=st", *AUTO)
    assert find_teacher(config) is None


@pytest.fixture
def trained_elsewhere(tmp_path: Path) -> Iterator[tuple[Config, FileLock]]:
    """A teacher's run, and the lock that another process holds while it trains it below another name."""
    teacher = teacher_run(config_of(tmp_path, "kd_mode=st", *AUTO))
    place = tmp_path / "results" / ".teachers"
    place.mkdir(parents=True)
    with FileLock(place / f"{hash_config(teacher).run}.lock") as lock:
        yield teacher, lock


def test_a_teacher_that_another_sweep_trains_is_not_trained_again(
    tmp_path: Path, trained_elsewhere: tuple[Config, FileLock]
) -> None:
    """It is waited for, and what it left is copied."""
    teacher, lock = trained_elsewhere
    config = require_config(compose_config(*places(tmp_path), *TINY, "model=resnet14", "kd_mode=none"))
    theirs, ours = (tmp_path / "results" / name / "teacher" / "0000" for name in ("other", "default"))

    class Waiting(EpochReporter):
        def note(self, text: str) -> None:
            assert text == "Waiting: another process trains this teacher"
            lock.release()
            run_trial(config, theirs, EpochReporter(Console(file=io.StringIO())), study="teacher", trial=0)

        def epoch(self, row: dict[str, float]) -> None:
            raise AssertionError("trained a second time")

    result = run_trial(config, ours, Waiting(Console(file=io.StringIO())), study="teacher", trial=1)
    assert (result["status"], result["trial"], result["config_hash"]) == ("complete", 1, hash_config(teacher).run)
    assert json.loads((ours / "result.json").read_text()) == result
    for name in ("metrics.csv", "saliency.csv", "weights.pt"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_who_waits_for_another_sweep_s_teacher_can_be_asked_to_stop(
    tmp_path: Path, trained_elsewhere: tuple[Config, FileLock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_module, "_SECONDS_BETWEEN_LOOKS", 0.05)
    ask_to_stop(tmp_path / "results" / "default" / run_name(config_of(tmp_path, "kd_mode=st", *AUTO)), INTERRUPT)
    with pytest.raises(RunInterrupted, match="while another process trained the teacher"):
        run(tmp_path, "kd_mode=st", *AUTO)


# --- loaded


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    """Not by its name; and the run records which it was."""
    one, other = saved(tmp_path), saved(tmp_path, seed=1)
    copy = tmp_path / "copy.pth"
    copy.write_bytes(one.read_bytes())
    hashes = [
        hash_config(config_of(tmp_path, "kd_mode=st", "teacher=resnet14", f"teacher.checkpoint={path}")).run
        for path in (one, copy, other)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_teacher_that_no_mode_uses_is_idle(tmp_path: Path) -> None:
    """It changes neither the identity nor the run, and need not exist."""
    idle = ("teacher=resnet14", "teacher.checkpoint=/nowhere.pth")
    for mode in ("none", "tfd", "[st,tfd]"):
        off = ("kd_mode.st.weights.st=0",) if "st" in mode else ()
        with_teacher = config_of(tmp_path, f"kd_mode={mode}", *off, *idle)
        without = config_of(tmp_path, f"kd_mode={mode}", *off)
        assert hash_config(with_teacher) == hash_config(without)
        check_config(compose_config(*places(tmp_path), *TINY, f"kd_mode={mode}", *off, *idle))


def test_teacher_and_modes_leave_the_student_s_random_numbers_alone(tmp_path: Path) -> None:
    """Runs that share a seed start from one network and see their pictures in one order."""
    path = saved(tmp_path)
    drawn = []
    for mode in ("none", "fitnet", "tfd_plus"):
        config = config_of(tmp_path, f"kd_mode={mode}", "teacher=resnet14", f"teacher.checkpoint={path}")
        parts = build_parts(config, path)
        drawn.append((parts.learners.student.state_dict(), torch.rand(3)))
    for state, numbers in drawn[1:]:
        assert all(torch.equal(value, drawn[0][0][name]) for name, value in state.items())
        assert torch.equal(numbers, drawn[0][1])


def test_a_teacher_near_chance_is_refused(tmp_path: Path) -> None:
    """Random weights are those of another data set; nothing was trained."""
    path = saved(tmp_path)
    with pytest.raises(WeakTeacher, match=r"the teacher has .* % of 389 val pictures right"):
        run(tmp_path, "kd_mode=st", "teacher=resnet14", f"teacher.checkpoint={path}")
    assert not list(tmp_path.rglob("weights.pt"))
    (record,) = (json.loads(path.read_text()) for path in tmp_path.rglob("result.json"))
    failure = Failure.in_record(record)
    assert failure.kind is FailureKind.TEACHER and not failure.kind.may_go_away


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "teacher=none: the kd_mode needs a teacher; choose teacher=auto"),
        (("teacher=resnet14",), "teacher=resnet14: has no weights; name a file, teacher.checkpoint=PATH"),
        (("teacher=resnet14", "teacher.checkpoint=/no.pth"), "teacher=resnet14: Weights file /no.pth does not exist"),
        (("teacher=resnet14", "teacher.checkpoint={other}"), "the file was trained for 7 classes, the model has 10"),
        (
            ("teacher=resnet14", "teacher.checkpoint={rgb}"),
            "trained on pictures of 3 channels, those here have 1. Choose",
        ),
        (("teacher=resnet20", "teacher.checkpoint={own}"), "teacher=resnet20: Weights file"),
        (("teacher=resnet14", "teacher.checkpoint={written}"), "is being written by a run that is at work"),
        ((*AUTO, "+teacher.trainer.epochs=0"), "teacher.trainer.epochs=0: should be greater than or equal to 1"),
        (("teacher=vgg8", "teacher.checkpoint=auto"), "kd_mode=at: the student has 3 stages and the teacher"),
    ],
)
def test_refused_before_anything_is_trained(overrides: tuple[str, ...], message: str, tmp_path: Path) -> None:
    at_work = tmp_path / "run"
    at_work.mkdir()
    (at_work / "heartbeat").touch()
    files = {"own": saved(tmp_path), "other": saved(tmp_path, 7), "written": at_work / "checkpoint.pt"}
    torch.save(create_model("resnet14", 10, in_channels=3).state_dict(), files.setdefault("rgb", tmp_path / "rgb.pth"))
    faults = faults_of(tmp_path, "kd_mode=at", *(override.format(**files) for override in overrides))
    assert len(faults) == 1 and message in faults[0]


def test_what_a_killed_run_has_left_is_not_being_written(tmp_path: Path) -> None:
    """Its last sign of life lies back."""
    path = saved(tmp_path)
    learning = ("kd_mode=st", "teacher=resnet14", f"teacher.checkpoint={path}")
    heartbeat = tmp_path / "heartbeat"
    heartbeat.touch()
    assert "is being written" in faults_of(tmp_path, *learning)[0]
    os.utime(heartbeat, (0, 0))
    check_config(compose_config(*places(tmp_path), *TINY, *learning))


def test_faults_of_modes_networks_and_files_are_told_together(tmp_path: Path) -> None:
    learning = ("kd_mode=[afd,at,st]", "teacher=resnet8x4", f"teacher.checkpoint={saved(tmp_path)}")
    wrong = ("+kd_mode.at.weights.x=1", "+kd_mode.st.weights.y=1", "kd_mode.at.form=z")
    faults = faults_of(tmp_path, *learning, *wrong)
    starts = ["kd_mode=at: ", "kd_mode.st.weights.y: this mode has no such term", "teacher=resnet8x4: Weights file"]
    assert [fault[: len(start)] for fault, start in zip(faults, starts, strict=True)] == starts
    faults = faults_of(tmp_path, *learning, "model=vgg8")
    starts = ["teacher=resnet8x4: Weights file", "kd_mode=afd: the student has 4", "kd_mode=at: the student has 4"]
    assert [fault[: len(start)] for fault, start in zip(faults, starts, strict=True)] == starts


class Always(torch.nn.Module):
    """Knows every label."""

    def __init__(self, labels: torch.Tensor) -> None:
        super().__init__()
        self.labels, self.calls = labels, 0

    def forward(self, pictures: torch.Tensor) -> ModelOutput:
        self.calls += 1
        return ModelOutput(torch.nn.functional.one_hot(self.labels, 10).float(), (), (), pictures, pictures)


def measured(directory: Path, *overrides: str, bf16: bool = False) -> tuple[float, int]:
    """The figure of a teacher that is always right, and how often it was asked."""
    data = build_data(config_of(directory, *overrides), torch.device("cpu"))
    assert data.val is not None
    teacher = Always(data.val.labels)
    figure = measure_teacher(teacher, data, digest="0" * 64, cache=directory / "figures", bf16=bf16)
    return figure.top1, teacher.calls


def test_a_figure_is_remembered_for_the_same_pictures_normalisation_and_precision(tmp_path: Path) -> None:
    assert measured(tmp_path) == (100, 1)
    assert measured(tmp_path) == (100, 0)
    assert measured(tmp_path, "dataset.mean=[0.5]", "dataset.std=[0.5]") == (100, 1)
    assert measured(tmp_path, bf16=True) == (100, 1)


@pytest.mark.parametrize(
    "text",
    [
        '{"top1": 610, "split": "val", "pictures": 389}',
        '{"top1": NaN, "split": "val", "pictures": 389}',
        '{"top1": 99, "split": "test", "pictures": 389}',
        '{"top1": 99, "split": "val", "pictures": 1}',
        "[" * 100_000,
    ],
)
def test_a_figure_that_cannot_be_is_measured_again(tmp_path: Path, text: str) -> None:
    measured(tmp_path)
    (path,) = (tmp_path / "figures" / "teachers").iterdir()
    path.write_text(text)
    assert measured(tmp_path) == (100, 1)


def test_a_cache_that_cannot_be_written_only_forgets(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "teachers").touch()
    assert measured(tmp_path) == measured(tmp_path) == (100, 1)


@pytest.mark.parametrize("protocol", ["final", "paper"])
def test_a_teacher_that_has_seen_the_held_out_pictures_is_refused_with_a_clean_way(
    tmp_path: Path, protocol: str
) -> None:
    config = config_of(tmp_path, f"protocol={protocol}")
    parts = build_parts(config)
    path = tmp_path / "seen.pt"
    weights = {"format": "tffd", "model": create_model("resnet14", 10, in_channels=1).state_dict()}
    torch.save({**weights, "provenance": parts.provenance}, path)
    with pytest.raises(ValueError, match="has seen some or all of the 389 pictures") as caught:
        run(tmp_path, "kd_mode=st", "teacher=resnet14", f"teacher.checkpoint={path}")
    assert "teacher.checkpoint=auto" in str(caught.value)
    assert "teacher.checkpoint=null" not in str(caught.value)


def test_a_teacher_that_has_seen_the_held_out_pictures_is_refused_by_the_check(tmp_path: Path) -> None:
    run(tmp_path, "model=resnet14", "kd_mode=none")
    (weights,) = (tmp_path / "results").rglob("weights.pt")
    learning = ("kd_mode=st", "teacher=resnet14", f"teacher.checkpoint={weights}")
    check_config(compose_config(*places(tmp_path), *TINY, *learning))
    (fault,) = faults_of(tmp_path, *learning, "protocol.split_seed=7")
    assert "has seen some or all" in fault and fault.endswith("or have one trained first with teacher.checkpoint=auto")
    check_config(compose_config(*places(tmp_path), *TINY, *learning, "protocol.split_seed=7", "kd_mode=none"))


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("+teacher.trainer.epoch=3", "teacher.trainer.epoch: the trainer has no such key; see conf/trainer"),
        ("+teacher.trainer.momentum=0", "teacher.trainer: nesterov=true needs momentum above 0"),
    ],
)
def test_settings_of_the_teacher_s_trainer(override: str, fault: str, tmp_path: Path) -> None:
    (found,) = faults_of(tmp_path, "kd_mode=st", *AUTO, "trainer.nesterov=true", override)
    assert found.startswith(fault)


def test_settings_of_the_teacher_s_trainer_are_faulty_all_at_once(tmp_path: Path) -> None:
    """Beside faults of others, and of no consequence where the teacher is not trained."""
    wrong = ("+teacher.trainer.epoch=3", "+teacher.trainer.lr=-1", "+teacher.trainer.milestones=[2]")
    assert faults_of(tmp_path, "kd_mode=st", *AUTO, *wrong, "trainer.batch_size=10000") == [
        "trainer.batch_size=10000: larger than the training set of 200 pictures; use at most 200",
        "teacher.trainer.lr=-1: should be greater than 0",
        "teacher.trainer.milestones=[2]: needs increasing fractions of the run between 0 and 1, such as "
        "[0.625, 0.75, 0.875]",
        "teacher.trainer.epoch: the trainer has no such key; see conf/trainer",
    ]
    check_config(compose_config(*places(tmp_path), *TINY, "kd_mode=tfd", *AUTO, *wrong))

import errno
import json
from pathlib import Path

import pytest

from tests.support import compose_config
from tests.waiting import wait_for
from tffd import identity, records
from tffd.config import require_config
from tffd.identity import describe_run
from tffd.schema import Config


def config(*overrides: str) -> Config:
    return require_config(compose_config(*overrides))


def test_the_hash_ignores_what_cannot_change_the_numbers() -> None:
    same = ("name=x", "results_dir=y", "device=cpu", "threads=3", "dataset.root=z", "dataset.cache=c", "sweep=lambdas")
    assert identity.hash_config(config(*same)).run == identity.hash_config(config()).run
    assert identity.hash_config(config("trainer.checkpoint_every=1")).run == identity.hash_config(config()).run


@pytest.mark.parametrize(
    "override",
    ["seed=1", "lambda_intra=0.5", "trainer.epochs=7", "dataset.train_size=300", "model=resnet8", "protocol=final",
     "kd_mode=intra", "+dataset.source.test_pictures=400", "dataset.val_fraction=0.2", "protocol.split_seed=1"],
)  # fmt: skip
def test_the_hash_sees_what_can(override: str) -> None:
    assert identity.hash_config(config(override)).run != identity.hash_config(config()).run


def test_a_baseline_is_the_same_run_whatever_the_lambdas() -> None:
    assert identity.hash_config(config("kd_mode=none", "lambda_intra=0.5")) == identity.hash_config(
        config("kd_mode=none")
    )
    only_intra = [identity.hash_config(config("kd_mode=intra", f"lambda_inter={value}")) for value in (0.1, 0.2)]
    assert only_intra[0] == only_intra[1]


def test_a_composition_is_one_run_in_whatever_order_its_modes_are_named() -> None:
    """And has the name of its modes in their order; defaults of modes that it does not have do not count."""
    first, other = (config(f"kd_mode=[{modes}]", "teacher=resnet20") for modes in ("st,tfd", "tfd,st"))
    plus = config("kd_mode=tfd_plus", "teacher=resnet20")
    assert first.composition == other.composition == plus.composition == "st+tfd"
    assert identity.hash_config(first) == identity.hash_config(other) == identity.hash_config(plus)
    assert first.term_weights == {"st": 1.0, "intra": 8e-4, "inter": 5e-4}
    assert config("kd_mode=none").composition == config("kd_mode=[none]").composition == "none"


def test_seeds_share_their_settings() -> None:
    hashes = {identity.hash_config(config(f"seed={seed}")).settings for seed in range(3)}
    assert len(hashes) == 1


def test_effective_lambdas_are_recorded() -> None:
    described = describe_run(config("kd_mode=inter"), study=None, trial=None, started=records.now())
    assert (described["lambda_intra"], described["lambda_inter"]) == (0.0, 5e-4)
    described = describe_run(config("kd_mode=none"), study="grid", trial=3, started=records.now())
    assert (described["lambda_intra"], described["lambda_inter"]) == (0.0, 0.0)
    assert (described["study"], described["trial"]) == ("grid", 3)
    assert described["term_weights"] == {}


def test_resolved_weights_of_all_terms_are_recorded() -> None:
    """Those of a mode's file, of the shared lambdas, and those that were typed, a 0 among them."""
    typed = ("kd_mode=[at,st,tfd]", "teacher=resnet20", "lambda_intra=0.25", "kd_mode.st.weights.st=0")
    described = describe_run(config(*typed), study=None, trial=None, started=records.now())
    assert described["term_weights"] == {"at": 1000.0, "st": 0.0, "intra": 0.25, "inter": 5e-4}


HISTORY = [
    {"epoch": 1, "train_loss": 2.0, "val_top1": 50.0, "val_top5": 80.0, "val_loss": 1.5},
    {"epoch": 2, "train_loss": 1.0, "val_top1": 70.0, "val_top5": 90.0, "val_loss": float("inf")},
    {"epoch": 3, "train_loss": 0.5, "val_top1": 60.0, "val_top5": 95.0, "val_loss": 1.0},
]


def test_last_and_best_validation_epoch_are_kept_apart() -> None:
    summary = records.summarise_history(HISTORY, test_every_epoch=False)
    assert (summary["val_top1"], summary["best_val_top1"], summary["best_val_epoch"]) == (60.0, 70.0, 2)
    assert summary["test_top1"] is None
    assert summary["best_test_top1"] is None


def test_what_is_not_measured_in_every_epoch_is_of_the_last_that_has_it() -> None:
    """Of a run that was pruned, as a complete one has it of its last epoch."""
    history = [*HISTORY, {"epoch": 4, "train_loss": 0.25}]
    summary = records.summarise_history(history, test_every_epoch=False)
    assert (summary["val_top1"], summary["val_top5"], summary["best_val_epoch"]) == (60.0, 95.0, 2)


def test_best_test_epoch_exists_under_the_paper_protocol_alone() -> None:
    history = [{"epoch": 1, "test_top1": 40.0}, {"epoch": 2, "test_top1": 30.0}]
    paper = records.summarise_history(history, test_every_epoch=True)
    assert (paper["test_top1"], paper["best_test_top1"]) == (30.0, 40.0)
    assert records.summarise_history(history, test_every_epoch=False)["best_test_top1"] is None


def test_infinite_losses_are_null_in_json() -> None:
    assert records.summarise_history(HISTORY[:2], test_every_epoch=False)["val_loss"] is None


def test_metrics_survive_the_file_exactly(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = [{"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "loss": 1 / 3, "test_top1": 5.0}]
    records.write_metrics(tmp_path, rows)
    assert (tmp_path / "metrics.csv").read_text() == (
        "epoch,loss,test_top1\n1,0.30000000000000004,\n2,0.3333333333333333,5.0\n"
    )
    assert records.read_last_metrics(tmp_path)["loss"] == "0.3333333333333333"
    assert records.read_last_metrics(tmp_path / "absent") == {}


def test_of_many_epochs_only_the_last_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records.write_metrics(tmp_path, [{"epoch": epoch, "loss": 0.5} for epoch in range(1, 1001)])
    parsed, reader = [], records.csv.DictReader
    monkeypatch.setattr(records.csv, "DictReader", lambda lines: parsed.extend(lines) or reader(lines))
    assert records.read_last_metrics(tmp_path) == {"epoch": "1000", "loss": "0.5"}
    assert parsed == ["epoch,loss", "1000,0.5"]
    (tmp_path / "metrics.csv").write_text("epoch,loss\n")
    assert records.read_last_metrics(tmp_path) == {}


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    records.write_json(path, {"status": "complete"})

    def power_off(*args: object) -> None:
        raise OSError("power off")

    monkeypatch.setattr("os.fsync", power_off)
    with pytest.raises(OSError, match="power off"):
        records.write_json(path, {"status": "failed"})
    assert json.loads(path.read_text()) == {"status": "complete"}
    assert records.read_result(tmp_path) == {"status": "complete"}


def test_a_heart_goes_on_beating_where_a_file_system_stumbles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch, beats = Path.touch, []

    def stumbling(path: Path, *arguments: object) -> None:
        beats.append(path)
        if len(beats) < 3:
            raise OSError(errno.ESTALE, "Stale file handle")
        touch(path)

    monkeypatch.setattr(Path, "touch", stumbling)
    monkeypatch.setattr(records, "BEAT_SECONDS", 0.001)
    with records.beating(tmp_path):
        wait_for((tmp_path / "heartbeat").exists)
    assert list(tmp_path.iterdir()) == []


def test_a_run_ends_well_where_its_heartbeat_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(path: Path, *arguments: object, **named: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "unlink", stale)
    with records.beating(tmp_path):
        pass


def picture_tree(root: Path, shade: int) -> Path:
    from PIL import Image

    for split in ("train", "test"):
        for label in ("a", "b"):
            directory = root / split / label
            directory.mkdir(parents=True)
            for index in range(shade):
                Image.new("RGB", (32, 32), (shade, 0, 0)).save(directory / f"{index}.png")
    return root


def test_pictures_count_by_their_content_and_not_by_their_place(tmp_path: Path) -> None:
    import shutil

    first, other = picture_tree(tmp_path / "first", 3), picture_tree(tmp_path / "other", 4)
    shutil.copytree(first, tmp_path / "moved", copy_function=shutil.copy2)
    hashes = [
        identity.hash_config(config("dataset=image_folder", f"dataset.root={root}")).run
        for root in (first, tmp_path / "moved", other)
    ]
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_weights_count_by_their_content(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"one")
    first = identity.hash_config(config(f"model.weights={path}")).run
    (tmp_path / "copy.pt").write_bytes(b"one")
    assert identity.hash_config(config(f"model.weights={tmp_path}/copy.pt")).run == first
    path.write_bytes(b"two")
    assert identity.hash_config(config(f"model.weights={path}")).run != first


def test_a_lambda_is_a_number_however_it_is_written() -> None:
    assert identity.hash_config(config("lambda_intra=0")) == identity.hash_config(config("lambda_intra=0.0"))


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "3"])
def test_a_damaged_result_names_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ValueError, match="result.json is damaged"):
        records.read_result(tmp_path)

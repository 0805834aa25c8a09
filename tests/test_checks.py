"""What is wrong with a config is told at once, in full, with the value and the fix, and nothing is left behind."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from tests.support import CONF, compose_config, places
from tffd.app import register_resolvers
from tffd.checks import check_config, trains_elsewhere
from tffd.files import writable_fault
from tffd.models import create_model
from tffd.refusal import ConfigError


def faults_of(directory: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_config(compose_config(*places(directory), *overrides))
    assert not (directory / "results").exists()
    return caught.value.faults


def test_a_good_config_is_returned_with_its_data_prepared(tmp_path: Path) -> None:
    config = check_config(compose_config(*places(tmp_path)))
    assert config.dataset.name == "digits"
    assert list((tmp_path / "cache").glob("digits*/train_images.npy"))
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lambda_intra=-1", "lambda_intra=-1: should be greater than or equal to 0"),
        ("lambda_inter=nan", "lambda_inter=nan: should be a finite number"),
        ("lambda_inter=inf", "lambda_inter=inf: should be a finite number"),
        ("lambda_intra=large", "lambda_intra=large: should be a valid number"),
        ("~kd_mode.tfd.weights", "kd_mode.tfd.weights: is missing"),
        ("teacher.name=a/b", "teacher.name=a/b: names a directory"),
        ("trainer.epochs=0", "trainer.epochs=0: should be greater than or equal to 1"),
        ("trainer.epochs=1.5", "trainer.epochs=1.5: should be a valid integer"),
        ("trainer.batch_size=0", "trainer.batch_size=0: should be greater than or equal to 1"),
        ("trainer.batch_size=201", "trainer.batch_size=201: larger than the training set of 200 pictures; use"),
        ("trainer.milestones=[0.5,0.2]", "trainer.milestones=[0.5, 0.2]: needs increasing fractions"),
        ("trainer.momentum=0", "nesterov=true needs momentum above 0"),
        ("trainer.pad_mode=edge", "trainer.pad_mode=edge: should be 'reflect' or 'zero'"),
        ("dataset.val_fraction=1", "dataset.val_fraction=1: should be less than 1"),
        ("protocol.val_fraction=0", "protocol.val_fraction=0: should be greater than 0"),
        ("dataset.train_size=909", "dataset.train_size=909 asks for more pictures than the 908 that remain"),
        ("dataset.train_size=5", "one picture of each of the 10 classes"),
        ("dataset.augment.pad=8", "dataset.augment.pad=8: reflection needs fewer pixels"),
        ("kd_mode.tfd.stages=[1,4]", "kd_mode=tfd: stages=[1, 4] names stage 4, but the network has stages 1 to 3"),
        ("kd_mode.tfd.stages=[2]", "leaves the inter term nothing to compare"),
        ("kd_mode.tfd.stages=[2,1]", "must name each stage once, shallow to deep"),
        ("kd_mode.tfd.reduction=max", "reduction must be one of mean, sum"),
        ("model.name=resnet21", "There is no model 'resnet21'. Did you mean"),
        ("model.weights=/nowhere.pt", "Weights file /nowhere.pt does not exist"),
        ("dataset.mean=[0.5,0.5]", "dataset.mean=[0.5, 0.5]: the pictures have 1 channel; give one number each"),
        ("kd_mode.tfd.weights.intra=abc", "kd_mode.tfd.weights.intra=abc: should be a valid number"),
        ("+kd_mode.tfd.weights.at=1", "kd_mode.tfd.weights.at: this mode has no such term; there are intra, inter"),
        ("kd_mode=[tfd,intra]", "kd_mode=[intra,tfd]: intra and tfd both have a term intra"),
        ("protocol.val_fraction=null", "would judge a run on nothing; use protocol=validation"),
        ("name=a/b", "name=a/b: names a directory"),
        ("name=1_1", "name=11: was read as a number, not as a text; quote it twice: \"name='...'\""),
        ("seed=-1", "seed=-1: should be greater than or equal to 0"),
        ("+lamda_intra=1", "lamda_intra: no such key; did you mean lambda_intra?"),
        ("+trainer.epoch=1", "trainer.epoch: no such key; did you mean epochs?"),
        ("+kd_mode.tfd.lambda_kd=1", "lambda_kd"),
        ("kd_mode.tfd._target_=tffd.distill.Nothing", "tffd.distill.Nothing"),
        (f"name={'x' * 300}", "names a directory, so it takes at most 200 characters; it has 300"),
        (f"dataset.name={'x' * 65}", "it takes at most 64 characters; it has 65"),
        ("dataset.name=a/b", "dataset.name=a/b: names a directory, so it takes letters"),
        ("model.name=../x", "model.name=../x: names a directory"),
        ("dataset.mean=[125.3]", "dataset.mean=[125.3]: needs numbers from 0 (black) to 1 (white)"),
        ("dataset.mean=[nan]", "dataset.mean=[nan]: needs numbers from 0"),
        ("dataset.std=[63.0]", "dataset.std=[63.0]: needs numbers from 0"),
        ("protocol.split_seed=4294967296", "protocol.split_seed=4294967296: should be less than 4294967296"),
        ("~dataset.mean", "dataset.mean: is missing; for none of it, set dataset.mean=null"),
        ("~trainer.lr", "trainer.lr: is missing"),
        ("threads=100000000000", "threads=100000000000: should be less than or equal to 4096"),
        ("sweep.n_jobs=1000000000000", "sweep.n_jobs=1000000000000: should be less than or equal to 4096"),
        ("sweep.heartbeat_timeout=1e308", "sweep.heartbeat_timeout=1e+308: should be less than or equal to 604800"),
        ("sweep.heartbeat_timeout=nan", "sweep.heartbeat_timeout=nan: should be"),
        ("+dataset.source.test_pictures=[32,64]", "test_pictures=[32, 64]: should be a valid integer"),
    ],
)  # fmt: skip
def test_one_fault(tmp_path: Path, override: str, message: str) -> None:
    faults = faults_of(tmp_path, override)
    assert len(faults) == 1
    assert message in faults[0]
    assert "\n" not in faults[0]


def test_all_faults_of_schema_machine_data_and_network_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    faults = faults_of(tmp_path, "lambda_intra=-1", "trainer.epochs=0", f"results_dir={tmp_path}/file/results")
    assert [fault.split("=")[0] for fault in faults] == ["lambda_intra", "trainer.epochs", "results_dir"]
    faults = faults_of(tmp_path, "seed=-1", "kd_mode.tfd.stages=[1,9]", "dataset=image_folder", "dataset.root=/nowhere")
    assert [fault.split("=")[0] for fault in faults] == ["seed", "dataset", "kd_mode"]
    faults = faults_of(tmp_path, "trainer.batch_size=999", "kd_mode.tfd.stages=[1,9]")
    assert [fault.split("=")[0] for fault in faults] == ["trainer.batch_size", "kd_mode"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA, so asking for it is no fault")
def test_cuda_is_not_replaced_in_silence(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "device=cuda") == [
        "device=cuda: PyTorch sees no CUDA device here; use device=cpu or device=auto"
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA, so asking for it is no fault")
def test_cuda_may_be_asked_for_where_other_machines_train(tmp_path: Path) -> None:
    cfg = compose_config(*places(tmp_path), "device=cuda")
    assert check_config(cfg, elsewhere=True).device == "cuda"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA, whose cards may have TF32")
def test_a_precision_that_the_device_lacks_is_refused(tmp_path: Path) -> None:
    for device in ("cpu", "auto"):
        assert faults_of(tmp_path, f"device={device}", "trainer.precision=tf32") == [
            "trainer.precision=tf32: is a mode of CUDA cards; on a CPU use trainer.precision=fp32"
        ]
    on_cluster = compose_config(*places(tmp_path), "device=cuda", "trainer.precision=tf32")
    assert check_config(on_cluster, elsewhere=True).trainer.precision == "tf32"
    with pytest.raises(ConfigError, match="tf32: is a mode of CUDA cards"):
        check_config(compose_config(*places(tmp_path), "device=cpu", "trainer.precision=tf32"), elsewhere=True)


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local", "submitit_slurm"])
def test_only_a_cluster_trains_elsewhere(launcher: str) -> None:
    register_resolvers()
    with initialize_config_dir(str(CONF)):
        cfg = compose("config", overrides=[f"hydra/launcher={launcher}"], return_hydra_config=True)
    assert trains_elsewhere(cfg) is (launcher == "submitit_slurm")


def test_weights_of_another_number_of_classes(tmp_path: Path) -> None:
    model = create_model("resnet20", 100, in_channels=1)
    torch.save({"format": "tffd", "model": model.state_dict()}, tmp_path / "weights.pt")
    (fault,) = faults_of(tmp_path, f"model.weights={tmp_path}/weights.pt")
    assert "the file was trained for 100 classes, the model has 10" in fault


def test_damaged_weights(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"PK\x03\x04 no checkpoint")
    (fault,) = faults_of(tmp_path, f"model.weights={tmp_path}/weights.pt")
    assert "damaged" in fault
    assert str(tmp_path / "weights.pt") in fault


def test_picture_trees(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    overrides = ("dataset=image_folder", f"dataset.root={tree}")
    (fault,) = faults_of(tmp_path, *overrides, "dataset.source.image_size=[32,64]")
    assert "image_size=[32, 64]: should be a valid integer" in fault
    assert f"{tree}/train is missing" in faults_of(tmp_path, *overrides)[0]
    for name in ("train", "test"):
        (tree / name).mkdir(parents=True)
    assert f"{tree}/train is empty" in faults_of(tmp_path, *overrides)[0]


def test_a_broken_picture_is_named_before_anything_is_made(tmp_path: Path) -> None:
    from PIL import Image

    for split in ("train", "test"):
        for label in ("a", "b"):
            directory = tmp_path / "tree" / split / label
            directory.mkdir(parents=True)
            for index in range(20):
                Image.new("RGB", (32, 32), (index, 0, 0)).save(directory / f"{index}.png")
    broken = tmp_path / "tree" / "train" / "b" / "7.png"
    broken.write_bytes(broken.read_bytes()[:60])
    (fault,) = faults_of(tmp_path, "dataset=image_folder", f"dataset.root={tmp_path}/tree", "trainer.batch_size=8")
    assert str(broken) in fault


def test_unwritable_results_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert writable_fault(str(tmp_path / "file" / "below")) == f"{tmp_path}/file is a file"
    assert writable_fault(str(tmp_path / "not" / "yet")) is None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("batch_size", [1, 199])  # alone, and as what an epoch leaves over
def test_a_batch_of_one_picture_on_maps_of_one_value(tmp_path: Path, batch_size: int) -> None:
    vgg = ("model=vgg8", f"trainer.batch_size={batch_size}")
    (fault,) = faults_of(tmp_path, *vgg)
    assert fault.startswith(f"model=vgg8: trainer.batch_size={batch_size}: leaves a batch of 1 picture")
    check_config(compose_config(*places(tmp_path), "model=vgg8", "trainer.batch_size=198"))  # leaves two
    check_config(compose_config(*places(tmp_path), "model=resnet8", "trainer.batch_size=1"))  # maps of 2x2


def test_pictures_too_small_for_the_network(tmp_path: Path) -> None:
    small = ("dataset=synthetic", "dataset.source.image_size=4", "dataset.augment.pad=1", "model=vgg8")
    (fault,) = faults_of(tmp_path, *small)
    assert "VGG halves a picture three times, so it needs at least 8x8" in fault

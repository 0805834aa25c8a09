"""Checkpoints: what is written comes back, and a resumed run is the uninterrupted one."""

import dataclasses
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from torch import nn

from tests.distill.compositions import tfd
from tffd.checkpoints import load_weights
from tffd.data import Augmentation, Data, Pictures
from tffd.data.splits import Split
from tffd.models import create_model
from tffd.training import checkpoint as checkpoint_module
from tffd.training.checkpoint import Checkpoint, NotWritten, load_checkpoint, save_atomically, save_checkpoint
from tffd.training.loop import Progress, Recipe, Row, make_optimizer, train
from tffd.training.step import Learners

HASH = "0123456789ab"
RECIPE = Recipe(
    epochs=6,
    batch_size=8,
    lr=0.05,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    milestones=(0.625, 0.75, 0.875),
    gamma=0.1,
    warmup_epochs=5,
    augmentation=Augmentation(pad=1, mode="reflect", flip=True),
    seed=3,
)


class Run:
    """Everything that a process of its own would build."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (28, 8, 8, 3), generator=generator, dtype=torch.uint8)
        labels, half = torch.arange(28) % 4, torch.full((3,), 0.5)
        self.data = Data(
            train=Pictures(images[:20], labels[:20], half, half),
            val=Pictures(images[20:], labels[20:], half, half),
            test=None,
            classes=tuple("abcd"),
            channels=3,
            split=Split(np.arange(20), np.arange(20, 28)),
        )
        torch.manual_seed(seed)
        self.model: nn.Module = create_model("resnet8", 4).to(memory_format=torch.channels_last)
        self.learners = Learners(self.model, tfd())
        self.optimizer = make_optimizer(self.learners, RECIPE)
        self.progress = Progress(epoch=0, history=[], seconds=0.0)

    def train_to(self, epoch: int) -> list[Row]:
        steps = train(self.learners, self.data, RECIPE, self.optimizer, self.progress)
        while self.progress.epoch < epoch:
            next(steps)
        return self.progress.history

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            config_hash=HASH,
            epoch=self.progress.epoch,
            history=self.progress.history,
            seconds=self.progress.seconds,
            threads=torch.get_num_threads(),
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            rng=torch.get_rng_state(),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.progress = Progress(checkpoint.epoch, checkpoint.history, checkpoint.seconds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where checkpoints go, in a folder of its own."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "checkpoint.pt"


def loaded(path: Path) -> Checkpoint:
    checkpoint = load_checkpoint(path, HASH)
    assert checkpoint is not None
    return checkpoint


def assert_same(actual: Any, expected: Any) -> None:
    """Compare nested dictionaries and lists, tensors bit for bit."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(actual, expected) and actual.dtype == expected.dtype
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key, value in expected.items():
            assert_same(actual[key], value)
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same(one, other)
    else:
        assert actual == expected and type(actual) is type(expected)


def test_round_trip(path: Path) -> None:
    """Every field, to the last bit and of the same type."""
    run = Run()
    run.train_to(2)
    saved = run.checkpoint()
    save_checkpoint(saved, path)
    checkpoint = loaded(path)
    for field in dataclasses.fields(Checkpoint):
        assert_same(getattr(checkpoint, field.name), getattr(saved, field.name))
    assert checkpoint.epoch == len(checkpoint.history) == 2
    assert any(buffer["momentum_buffer"].abs().sum() > 0 for buffer in checkpoint.optimizer["state"].values())
    assert os.listdir(path.parent) == [path.name]


def test_no_file_no_checkpoint(path: Path) -> None:
    """A run that has none starts at the beginning."""
    assert load_checkpoint(path, HASH) is None


def test_fields_of_other_versions_are_no_damage(path: Path) -> None:
    """One that this version does not know is passed over; one that came later is empty."""
    content = {**vars(Run().checkpoint()), "format": "tffd", "later": 1}
    del content["modes"]
    save_atomically(content, path)
    assert loaded(path).modes == {} and not hasattr(loaded(path), "later")


# --- going on


def test_resumed_equals_uninterrupted(path: Path) -> None:
    """Three epochs, everything built anew from other random numbers, three more: the same history and weights."""
    whole = Run()
    expected = whole.train_to(6)
    first = Run()
    first.train_to(3)
    save_checkpoint(first.checkpoint(), path)

    second = Run(seed=99)
    second.restore(loaded(path))
    assert second.progress.epoch == 3
    assert second.train_to(6) == expected
    assert_same(second.model.state_dict(), whole.model.state_dict())
    assert_same(second.optimizer.state_dict(), whole.optimizer.state_dict())


def test_momentum_is_part_of_the_state(path: Path) -> None:
    """Without it the run would be another one; so the test above would notice its loss."""
    expected = Run().train_to(4)
    first = Run()
    first.train_to(3)
    save_checkpoint(first.checkpoint(), path)
    second, checkpoint = Run(), loaded(path)
    second.restore(dataclasses.replace(checkpoint, optimizer=second.optimizer.state_dict()))
    history = second.train_to(4)
    assert history[:3] == expected[:3]
    assert history[3]["train_loss"] != expected[3]["train_loss"]


def test_a_checkpoint_does_not_change_with_the_run(path: Path) -> None:
    """What was saved after epoch 1 is that, though the same tensors went on being trained."""
    run = Run()
    run.train_to(1)
    weight = run.model.state_dict()["conv1.weight"].clone()
    save_checkpoint(run.checkpoint(), path)
    run.train_to(2)
    checkpoint = loaded(path)
    assert torch.equal(checkpoint.model["conv1.weight"], weight) and len(checkpoint.history) == 1
    assert not torch.equal(run.model.state_dict()["conv1.weight"], weight)


def test_load_weights_reads_it(path: Path) -> None:
    """As a network to fine-tune or to look at."""
    run = Run()
    run.train_to(1)
    save_checkpoint(run.checkpoint(), path)
    other = create_model("resnet8", 4)
    load_weights(other, path)
    assert_same(other.state_dict(), run.model.state_dict())
    save_atomically({"model": run.model.state_dict(), "epoch": 1}, path)
    assert_same(create_model("resnet8", 4, weights=path).state_dict(), run.model.state_dict())


# --- what goes wrong


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failure_while_writing(error: BaseException, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file is intact and nothing else is left."""
    save_atomically({"value": 1}, path)
    before = path.read_bytes()

    def fails(content: Any, file: Any) -> None:
        file.write(b"half of it")
        raise error

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(type(error)):
        save_atomically({"value": 2}, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_written_beside_and_then_renamed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until all of it has reached the disk, the name still belongs to the old file."""
    save_atomically({"value": 1}, path)
    before, states = path.read_bytes(), []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        states.append((os.fstat(descriptor).st_size > 0, path.read_bytes() == before))

    monkeypatch.setattr(os, "fsync", watched)
    save_atomically({"value": 2}, path)
    assert states == [(True, True), (True, False)]  # the file, and after its renaming the directory that names it
    assert torch.load(path, weights_only=True) == {"format": "tffd", "value": 2}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"epoch,lr\n1,0.1\n",
        lambda data: data[:-100],
    ],
    ids=["empty", "half", "text", "no-end"],
)
def test_damaged_file(damage: Callable[[bytes], bytes], path: Path) -> None:
    """One clear message, with what to do."""
    save_checkpoint(Run().checkpoint(), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError) as caught:
        load_checkpoint(path, HASH)
    assert str(caught.value).startswith(f"{path} is damaged and cannot be continued (")
    assert str(caught.value).endswith("Remove it to start this run anew.")


@pytest.mark.parametrize("content", [{"model": {}}, {"format": "tffd", "epoch": 1}, [1, 2]])
def test_other_files_of_torch_save(content: Any, path: Path) -> None:
    """Readable, but no checkpoint."""
    torch.save(content, path)
    with pytest.raises(ValueError, match="is damaged and cannot be continued"):
        load_checkpoint(path, HASH)


def test_checkpoint_of_another_configuration(path: Path) -> None:
    """Is never continued; both hashes are named."""
    save_checkpoint(Run().checkpoint(), path)
    with pytest.raises(ValueError, match=f"belongs to another configuration \\({HASH}, this one is ffffffffffff\\)"):
        load_checkpoint(path, "ffffffffffff")


class Malicious:
    """Makes a folder when it is unpickled without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("bare", [False, True])
def test_loading_executes_nothing(bare: bool, path: Path) -> None:
    """Refused, though a careless reader would run it."""
    marker = path.with_name("marker")
    content = vars(Run().checkpoint()) | {"format": "tffd", "history": [Malicious(marker)]}
    if bare:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"cannot be continued \(UnpicklingError\)"):
        load_checkpoint(path, HASH)
    assert not marker.exists()
    if not bare:
        torch.load(path, weights_only=False)
        assert marker.exists()


class OnCard(torch.Tensor):
    """Stands in for a tensor on a card: what is written is what `cpu` returns."""

    def cpu(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return torch.full((2,), 7.0)


def test_what_is_written_are_tensors_of_a_cpu(tmp_path: Path) -> None:
    """Also those deep inside an optimiser's state; the versions of a state dict's layers stay with it."""
    card = torch.zeros(2).as_subclass(OnCard)
    state = torch.nn.BatchNorm1d(2).state_dict()
    state["weight"] = card
    save_atomically(
        {"model": state, "optimizer": {"state": {0: {"buffer": card}}, "groups": [(1, card)]}}, tmp_path / "w"
    )
    content = torch.load(tmp_path / "w", weights_only=True)
    expected = torch.full((2,), 7.0)
    optimizer = content["optimizer"]
    for tensor in (content["model"]["weight"], optimizer["state"][0]["buffer"], optimizer["groups"][0][1]):
        assert torch.equal(tensor, expected)
    assert content["model"]._metadata[""] == {"version": 2}
    assert state["weight"] is card


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_file_written_on_a_card_loads_without_one(tmp_path: Path) -> None:
    save_atomically({"model": {"w": torch.ones(2, device="cuda")}}, tmp_path / "w")
    assert torch.load(tmp_path / "w", weights_only=True)["model"]["w"].device.type == "cpu"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("size", [10, 1_000_000])  # within a buffer, and beyond it: torch and Python fail in other ways
def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    @contextmanager
    def onto_a_full_disk(path: Path) -> Iterator[BinaryIO]:
        with open("/dev/full", "wb") as file:
            yield file
            file.flush()

    monkeypatch.setattr(checkpoint_module, "replacing", onto_a_full_disk)
    with pytest.raises(NotWritten, match="could not be written") as caught:
        save_atomically({"model": torch.zeros(size)}, tmp_path / "checkpoint.pt")
    assert "Once there is room the same command goes on" in str(caught.value)
    assert "\n" not in str(caught.value)

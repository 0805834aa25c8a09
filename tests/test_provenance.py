"""A network that has seen the pictures that a run holds out does not start it."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.support import TINY, compose_config, places
from tffd.build import build_model, build_parts
from tffd.checks import check_config
from tffd.config import require_config
from tffd.instantiation import data_digest
from tffd.models import ModelOutput, create_model
from tffd.provenance import CLEAN, UNKNOWN, SeenBefore, describe_training, look_into, provenance_of
from tffd.refusal import ConfigError
from tffd.training.checkpoint import save_atomically
from tffd.training.progress import EpochReporter
from tffd.trial import run_trial

HELD_OUT = {"val": 389, "val_sha256": "aaaa", "all_sha256": "all"}
NONE_HELD_OUT = {"val": 0, "val_sha256": "none", "all_sha256": "all"}
OTHERS = NONE_HELD_OUT | {"all_sha256": "others"}


def training(*overrides: str, data: str = "d1", split: dict[str, Any] = HELD_OUT) -> dict[str, Any]:
    return describe_training(require_config(compose_config(*overrides)), data, split)


FINAL = training("protocol=final", split=NONE_HELD_OUT)


def weights(directory: Path, provenance: Any) -> Path:
    """A file of ours with that provenance; what is in the network does not matter here."""
    path = directory / "weights.pt"
    save_atomically({"model": {"w": torch.ones(1)}, "provenance": provenance}, path)
    return path


@pytest.mark.parametrize(
    ("earlier", "now", "past"),
    [
        (training(), training("dataset.train_size=300"), CLEAN),  # the same pictures held out
        (training(data="d2"), training(), CLEAN),  # and so in a larger data set
        (FINAL, FINAL, CLEAN),  # nothing is held out
        (training("dataset.name=other", data="d2", split=OTHERS), training(), CLEAN),
        (training(data="d2", split=OTHERS), training(), UNKNOWN),  # perhaps an earlier state of these pictures
    ],
)
def test_what_a_file_tells_of_its_past(tmp_path: Path, earlier: dict[str, Any], now: dict[str, Any], past: str) -> None:
    start = look_into(weights(tmp_path, provenance_of(earlier)), now)
    assert start.past == past
    assert start.record() == {"digest": start.digest, "past": past}


@pytest.mark.parametrize(
    ("earlier", "words"),
    [
        (FINAL, "protocol=final protocol.val_fraction=null protocol.split_seed=0"),
        (  # at another size of the pictures
            training("protocol=final", "dataset.name=large", data="d2", split=NONE_HELD_OUT),
            "protocol=final protocol.val_fraction=null protocol.split_seed=0",
        ),
        (
            training("protocol.split_seed=1", split=HELD_OUT | {"val_sha256": "bbbb"}),
            "protocol=validation protocol.val_fraction=0.3 protocol.split_seed=1",
        ),
    ],
)
def test_a_leak_is_refused_with_both_protocols(tmp_path: Path, earlier: dict[str, Any], words: str) -> None:
    path = weights(tmp_path, provenance_of(earlier))
    with pytest.raises(SeenBefore) as caught:
        look_into(path, training(), setting="teacher.weights")
    message = str(caught.value)
    assert message.startswith(f"teacher.weights={path}: was trained on this data set under {words}, so it has seen")
    assert "trained under protocol=validation protocol.val_fraction=0.3 protocol.split_seed=0, or from none" in message


def test_what_a_file_started_from_is_not_forgotten(tmp_path: Path) -> None:
    elsewhere = training("dataset.name=other", data="d2", split=HELD_OUT | {"all_sha256": "others"})
    first = look_into(weights(tmp_path, provenance_of(FINAL)), elsewhere)
    with pytest.raises(SeenBefore):
        look_into(weights(tmp_path, provenance_of(elsewhere, first)), training())
    torch.save({"w": torch.ones(1)}, tmp_path / "foreign.pt")
    foreign = look_into(tmp_path / "foreign.pt", training())
    assert foreign.past == UNKNOWN
    assert look_into(weights(tmp_path, provenance_of(training(), foreign)), training()).past == UNKNOWN


@pytest.mark.parametrize("nonsense", [None, {}, "clean", {"trainings": [{}], "is_told": True}, {"trainings": [3]}])
def test_a_past_that_cannot_be_understood_is_unknown(tmp_path: Path, nonsense: Any) -> None:
    assert look_into(weights(tmp_path, nonsense), training()).past == UNKNOWN


def test_runs_leave_their_past_and_are_checked_before_they_train(tmp_path: Path) -> None:
    common = (*TINY, *places(tmp_path), "trainer.epochs=1")

    def run(where: str, *overrides: str) -> dict[str, Any]:
        cfg = compose_config(*common, *overrides)
        return run_trial(require_config(cfg), tmp_path / where, EpochReporter(Console(file=io.StringIO())))

    assert run("held", "dataset.train_size=100")["weights"] is None
    again = run("again", f"model.weights={tmp_path}/held/weights.pt")
    assert again["weights"]["past"] == CLEAN
    assert len(again["weights"]["digest"]) == 12

    final = [*common, "protocol=final", f"model.weights={tmp_path}/held/weights.pt"]
    config = require_config(compose_config(*final))
    parts = build_parts(config)
    leaking = weights(tmp_path, parts.provenance)
    assert [one["protocol"] for one in parts.provenance["trainings"]] == ["validation", "final"]
    assert parts.provenance["trainings"][0]["data"] == data_digest(config)
    with pytest.raises(ConfigError, match="has seen some or all of the 389 pictures that this run holds out"):
        torch.save({**torch.load(tmp_path / "held" / "weights.pt"), "provenance": parts.provenance}, leaking)
        check_config(compose_config(*common, f"model.weights={leaking}"))


@pytest.mark.parametrize("name", ["resnet8", "vgg8", "wrn_16_1"])  # one of each family
def test_every_network_starts_from_weights(tmp_path: Path, name: str) -> None:
    source = create_model(name, 10)
    torch.save(source.state_dict(), tmp_path / "w.pt")
    config = require_config(compose_config(f"model={name}", f"model.weights={tmp_path}/w.pt"))
    loaded = build_model(config, 10, 3).state_dict()
    assert all(torch.equal(tensor, loaded[key]) for key, tensor in source.state_dict().items())


class Linear(torch.nn.Module):
    """A network of somebody else's, which knows nothing of weight files."""

    num_stages = 1

    def __init__(self, name: str, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(in_channels, num_classes)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        pooled = x.mean((2, 3))
        return ModelOutput(self.fc(pooled), (x, x), None, x, pooled)  # type: ignore[arg-type]


def test_so_does_a_network_that_takes_no_weights_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFFD_TRUST", "tests")
    torch.save(Linear("x", 10, 3).state_dict(), tmp_path / "w.pt")
    cfg = compose_config(f"model._target_={__name__}.Linear", f"model.weights={tmp_path}/w.pt")
    model = build_model(require_config(cfg), 10, 3)
    assert torch.equal(model.state_dict()["fc.bias"], torch.load(tmp_path / "w.pt")["fc.bias"])

"""Checkpoint formats, and every way in which a file can be wrong."""

import argparse
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from tffd.checkpoints import load_weights
from tffd.models import create_model

State = dict[str, Tensor]


@pytest.fixture
def model() -> nn.Module:
    """Return the network that tests load into."""
    torch.manual_seed(0)
    return create_model("resnet8", 10)


@pytest.fixture
def state() -> State:
    """Return the state dict of another one, with other values everywhere, counters included."""
    torch.manual_seed(1)
    other = create_model("resnet8", 10)
    other(torch.randn(4, 3, 8, 8))
    return other.state_dict()


def copy_of(model: nn.Module) -> State:
    """Return the model's tensors as they are now."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(actual: State, expected: State) -> None:
    """Compare two state dicts exactly."""
    assert actual.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in actual.items())


def refusal(model: nn.Module, path: Path) -> str:
    """Return load_weights' message, having checked that it names the file and left the model alone."""
    before = copy_of(model)
    with pytest.raises(ValueError) as caught:
        load_weights(model, path)
    assert_same(model.state_dict(), before)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message and "weights_only" not in message and "pickle" not in message
    return message


def kdzoo(state: State) -> State:
    """Return the tensors under Knowledge-Distillation-Zoo's names."""
    return {
        "module." + name.replace("layer", "res").replace("downsample", "ds"): tensor for name, tensor in state.items()
    }


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"format": "tffd", "model": state, "epoch": 3},
        lambda state: {"net": kdzoo(state)},
        lambda state: {"snet": kdzoo(state), "tnet": {"other": torch.ones(1)}, "prec@1": 50.0},
        lambda state: {"model": state, "epoch": 240, "accuracy": torch.tensor(70.0)},
        lambda state: {"model": state, "opt": argparse.Namespace(model="resnet8", lr_decay_epochs=[150])},
        lambda state: {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": state, "epoch": 3, "arch": "resnet8"},
        lambda state: {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}, "loops": {}},
        lambda state: {"state_dict": {f"net._orig_mod.{name}": tensor for name, tensor in state.items()}},
        lambda state: {"model_state_dict": state, "optimizer_state_dict": {"lr": 0.1}},
        lambda state: {"net": state, "prec@1": np.float64(50), "history": np.arange(3.0), "day": np.str_("Monday")},
    ],
    ids=[
        "plain",
        "tffd",
        "kdzoo",
        "kdzoo-student",
        "repdistiller",
        "repdistiller-last",
        "compiled",
        "timm",
        "lightning",
        "lightning-compiled",
        "tutorial",
        "numpy",
    ],
)
@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
def test_formats(wrap: Callable[[State], Any], as_zip: bool, model: nn.Module, state: State, tmp_path: Path) -> None:
    """Each format, in PyTorch's present container and in the one before 1.6, gives back every tensor."""
    torch.save(wrap(state), tmp_path / "w.pth", _use_new_zipfile_serialization=as_zip)
    load_weights(model, tmp_path / "w.pth")
    assert_same(model.state_dict(), state)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        (
            "wrn_16_2",
            (("block1.", "block1.layer."), ("block2.", "block2.layer."), ("block3.", "block3.layer.")),
        ),
        ("vgg11", (("fc.", "classifier."),)),
        ("mobilenet_v2", (("fc.", "classifier.0."),)),
        ("shuffle_v1", (("fc.", "linear."),)),
        ("shuffle_v2", (("fc.", "linear."),)),
        ("resnet50", (("fc.", "linear."), (".downsample.", ".shortcut."))),
    ],
)
def test_repdistiller_names(name: str, theirs: tuple[tuple[str, str], ...], tmp_path: Path) -> None:
    """Networks whose names differ from ours; a tensor that is missing is refused there too."""
    source, target = create_model(name, 7), create_model(name, 7)
    renamed = {}
    for ours, tensor in source.state_dict().items():
        for old, new in ((".shortcut.", ".convShortcut."), *theirs):
            ours = ours.replace(old, new)
        renamed[ours] = tensor
    assert renamed.keys() != source.state_dict().keys()
    torch.save({"model": renamed}, tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth")
    assert_same(target.state_dict(), source.state_dict())
    del renamed[next(name for name in renamed if name.endswith("weight"))]
    torch.save({"model": renamed}, tmp_path / "cut.pth")
    with pytest.raises(ValueError, match="1 missing"):
        load_weights(target, tmp_path / "cut.pth")


def test_create_model_takes_a_path_as_text(state: State, tmp_path: Path) -> None:
    """As it comes from a YAML file."""
    torch.save(state, tmp_path / "w.pth")
    assert_same(create_model("resnet8", 10, weights=str(tmp_path / "w.pth")).state_dict(), state)


def test_files_from_before_step_counters(model: nn.Module, state: State, tmp_path: Path) -> None:
    """PyTorch 0.4.0 wrote no num_batches_tracked; the model keeps its own."""
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save({"model": old}, tmp_path / "w.pth")
    load_weights(model, tmp_path / "w.pth")
    assert_same({name: model.state_dict()[name] for name in old}, old)
    assert model.state_dict()["bn1.num_batches_tracked"] == 0


def test_safetensors(model: nn.Module, state: State, tmp_path: Path) -> None:
    """Whole, and cut or with a header of nonsense."""
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    data = path.read_bytes()
    load_weights(model, path)
    assert_same(model.state_dict(), state)
    for bad in (data[:-1], data[:8] + b"{" + bytes(len(data) - 9)):
        path.write_bytes(bad)
        assert "is damaged or not written by" in refusal(model, path)


def test_a_name_that_not_all_share_is_no_wrapper(model: nn.Module, state: State, tmp_path: Path) -> None:
    """Two networks in one file: neither is chosen in silence."""
    both = {f"{head}.{name}": tensor for head in ("model", "teacher") for name, tensor in state.items()}
    torch.save({"state_dict": both}, tmp_path / "w.pth")
    assert f"{len(both)} unexpected (model.conv1.weight, " in refusal(model, tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fc.bias", torch.full((10,), float("nan")), "1 with NaN or infinity (fc.bias)"),
        (
            "conv1.weight",
            torch.full((16, 3, 3, 3), 1e300, dtype=torch.float64),
            "1 with NaN or infinity (conv1.weight)",
        ),
        ("bn1.running_var", torch.full((16,), -0.5), "1 negative variances (bn1.running_var)"),
        (
            "bn1.running_var",
            torch.full((16,), -0.5).to(torch.float8_e4m3fn),
            "1 negative variances (bn1.running_var)",
        ),
        ("fc.bias", torch.ones(10, dtype=torch.int8), "1 of another type (fc.bias int8 instead of float32)"),
        ("fc.bias", torch.ones(10, dtype=torch.bool), "1 of another type (fc.bias bool instead of float32)"),
        ("bn1.num_batches_tracked", torch.tensor(1.5), "(bn1.num_batches_tracked float32 instead of int64)"),
    ],
)
def test_values_that_no_trained_network_has(
    name: str, value: Tensor, words: str, model: nn.Module, state: State, tmp_path: Path
) -> None:
    """They are named; float64 beyond the range of float32 would become infinite in the model."""
    torch.save({**state, name: value}, tmp_path / "w.pth")
    assert words in refusal(model, tmp_path / "w.pth")


def test_half_precision_is_read(model: nn.Module, state: State, tmp_path: Path) -> None:
    """Fewer bits are still the network's weights."""
    halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    torch.save(halves, tmp_path / "w.pth")
    load_weights(model, tmp_path / "w.pth")
    assert torch.equal(model.state_dict()["fc.weight"], halves["fc.weight"].float())


def test_missing_unexpected_and_misshapen_are_all_named(model: nn.Module, state: State, tmp_path: Path) -> None:
    """One message has all three kinds."""
    changed = dict(state)
    del changed["layer1.0.conv2.weight"], changed["bn1.num_batches_tracked"]
    changed["layer4.0.conv1.weight"] = torch.ones(3)
    changed["conv1.weight"] = torch.ones(16, 1, 3, 3)
    torch.save(changed, tmp_path / "w.pth")
    message = refusal(model, tmp_path / "w.pth")
    assert "2 missing (bn1.num_batches_tracked, layer1.0.conv2.weight)" in message
    assert "1 unexpected (layer4.0.conv1.weight)" in message
    assert "1 of another shape (conv1.weight [16, 1, 3, 3] instead of [16, 3, 3, 3])" in message


def test_long_lists_are_cut(model: nn.Module, tmp_path: Path) -> None:
    """The message of a wholly different network stays readable."""
    torch.save({f"extra{index}": torch.ones(1) for index in range(25)}, tmp_path / "w.pth")
    message = refusal(model, tmp_path / "w.pth")
    assert "25 unexpected (extra0, " in message and "extra9 and 15 more)" in message
    assert "extra10" not in message


def test_another_number_of_classes(model: nn.Module, tmp_path: Path) -> None:
    """The commonest mistake gets its own words."""
    torch.save(create_model("resnet8", 100).state_dict(), tmp_path / "w.pth")
    message = refusal(model, tmp_path / "w.pth")
    assert "the file was trained for 100 classes, the model has 10" in message


def test_another_width_is_not_taken_for_classes(model: nn.Module, state: State, tmp_path: Path) -> None:
    """A classifier of another input width is a matter of shape."""
    changed = {**state, "fc.weight": torch.ones(100, 32), "fc.bias": torch.ones(100)}
    torch.save(changed, tmp_path / "w.pth")
    message = refusal(model, tmp_path / "w.pth")
    assert "2 of another shape (fc.weight [100, 32] instead of [10, 64], fc.bias" in message


def test_one_tensor_under_two_names(model: nn.Module, state: State, tmp_path: Path) -> None:
    """Neither silently wins."""
    torch.save({**state, "module.fc.bias": torch.ones(10)}, tmp_path / "w.pth")
    assert "holds fc.bias under two names" in refusal(model, tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.ones(3), "a Tensor, but no network"),
        ([1, 2], "a list, but no network"),
        ({}, "an empty dictionary"),
        ({"epoch": 3, "loss": 0.5}, "a dictionary with 'epoch', 'loss', but no network"),
        ({"model": {}}, "a dictionary with 'model'"),
        ({"model": {"fc.bias": 1.0}}, "a dictionary with 'model'"),
        ({"fc.bias": torch.ones(10).to_sparse()}, "expected a state dict of ordinary tensors"),
        ({"fc.bias": torch.ones(10, device="meta")}, "expected a state dict of ordinary tensors"),
    ],
)
def test_readable_files_without_a_network(content: Any, words: str, model: nn.Module, tmp_path: Path) -> None:
    """The message says what the file holds."""
    torch.save(content, tmp_path / "w.pth")
    assert words in refusal(model, tmp_path / "w.pth")


def test_missing_file_and_folder(model: nn.Module, tmp_path: Path) -> None:
    """Both are the user's mistake, not a crash."""
    assert "does not exist" in refusal(model, tmp_path / "absent.pth")
    assert "cannot be read: Is a directory" in refusal(model, tmp_path)


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_file(share: float, as_zip: bool, model: nn.Module, state: State, tmp_path: Path) -> None:
    """Cut anywhere, in either container."""
    path = tmp_path / "w.pth"
    torch.save(state, path, _use_new_zipfile_serialization=as_zip)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert "damaged or not written by torch.save" in refusal(model, path)


def test_flipped_bit_in_the_weights(model: nn.Module, state: State, tmp_path: Path) -> None:
    """torch.load itself reads such a file without complaint."""
    path = tmp_path / "w.pth"
    torch.save(state, path)
    data = bytearray(path.read_bytes())
    start = data.index(state["fc.weight"].numpy().tobytes())
    data[start + 100] ^= 1
    path.write_bytes(data)
    torch.load(path, weights_only=True)
    assert "damaged" in refusal(model, path)


def test_files_of_other_kinds(model: nn.Module, tmp_path: Path) -> None:
    """Text, and an archive that is no checkpoint."""
    (tmp_path / "page.pth").write_text("<html>404 Not Found</html>\n" * 20, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "archive.pth", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    for name in ("page.pth", "archive.pth"):
        assert "damaged or not written by torch.save" in refusal(model, tmp_path / name)


class Malicious:
    """Makes a folder when it is unpickled without care."""

    def __init__(self, marker: Path) -> None:
        """Remember where."""
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        """Ask the reader to call os.mkdir."""
        return os.mkdir, (self.marker,)


def write_pickle(content: Any, path: Path) -> None:
    """Write a file without PyTorch's container."""
    path.write_bytes(pickle.dumps(content, protocol=2))  # PyTorch's own; it reads no later one


def write_legacy(content: Any, path: Path) -> None:
    """Write PyTorch's container from before 1.6."""
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (torch.save, lambda path: torch.load(path, weights_only=False)),
        (write_legacy, lambda path: torch.load(path, weights_only=False)),
        (write_pickle, lambda path: pickle.loads(path.read_bytes())),
    ],
    ids=["zip", "legacy", "bare"],
)
def test_code_in_a_file_is_not_run(
    write: Callable[[Any, Path], None],
    read: Callable[[Path], Any],
    model: nn.Module,
    state: State,
    tmp_path: Path,
) -> None:
    """Refused, whatever the container, though a careless reader would run it."""
    marker, path = tmp_path / "marker", tmp_path / "w.pth"
    write({"model": state, "extra": Malicious(marker)}, path)
    assert "was refused, and nothing in it was run" in refusal(model, path)
    assert not marker.exists()
    read(path)
    assert marker.exists()


def test_arrays_of_objects_are_refused(model: nn.Module, state: State, tmp_path: Path) -> None:
    """NumPy's arrays of numbers are data; those of objects could hold anything."""
    torch.save({"model": state, "names": np.array(["a", None], dtype=object)}, tmp_path / "w.pth")
    assert "was refused, and nothing in it was run" in refusal(model, tmp_path / "w.pth")


def test_whole_module_is_refused(model: nn.Module, tmp_path: Path) -> None:
    """A whole network instead of its state dict is a common file, and it needs code to be read."""
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    assert "save its state dict alone" in refusal(model, tmp_path / "w.pth")

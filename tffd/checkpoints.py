"""Loading network weights from this project's and other people's checkpoint formats."""

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from tffd.files import read_archive
from tffd.weight_faults import fit_faults, listed, value_faults

# Where a file keeps the network: this project and RepDistiller, Knowledge-Distillation-Zoo and Tf-FD, the student in
# the last two's distillation runs, timm and Lightning, and PyTorch's tutorials. A file with none of these keys must be
# a state dict itself.
_NETWORK_KEYS = ("model", "net", "snet", "state_dict", "model_state_dict")

# Other people's tensor names -> this project's, tried in order on every name that the model does not have.
_RENAMES = (
    (r"^((module|_orig_mod)\.)+", ""),  # wrappers: DataParallel, torch.compile
    (r"^res(\d+)\.", r"layer\1."),  # Knowledge-Distillation-Zoo and Tf-FD: res1.0.conv1 -> layer1.0.conv1
    (r"\.ds\.", ".downsample."),  # the same: layer2.0.ds.0 -> layer2.0.downsample.0
    (r"^block(\d+)\.layer\.", r"block\1."),  # RepDistiller's wide ResNets: block1.layer.0 -> block1.0
    (r"\.convShortcut\.", ".shortcut."),  # the same
    (r"\.shortcut\.", ".downsample."),  # RepDistiller's ResNet-50
    (r"^linear\.", "fc."),  # the same, and its ShuffleNets
    (r"^classifier\.(0\.)?", "fc."),  # RepDistiller's VGG and MobileNetV2
)
_COUNTER = ".num_batches_tracked"


def _harmless() -> list[Any]:
    """What a file may hold besides tensors and plain values: no more than data, whatever the file says.

    RepDistiller's last checkpoints hold their command line as a Namespace; others an accuracy or a history as NumPy
    computed it, under the names of NumPy 1 or 2. Of NumPy's types those are left out that can hold objects.
    """
    from numpy._core import multiarray

    made_by = [(getattr(multiarray, name), f"numpy.{core}.multiarray.{name}")
               for name in ("scalar", "_reconstruct") for core in ("core", "_core")]  # fmt: skip
    types = {type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OV"}
    return [argparse.Namespace, *made_by, np.ndarray, np.dtype, *types]


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Copy a checkpoint's weights and batch norm statistics into a model, all of them or none.

    The format is told by the content: this project's ({"format": "tffd", "model": state dict, ...}, or a
    plain state dict), Knowledge-Distillation-Zoo's and Tf-FD's ({"net": ...}, in a distillation run
    {"snet": ...}), RepDistiller's ({"model": ...}), timm's and Lightning's ({"state_dict": ...}), that of PyTorch's
    tutorials ({"model_state_dict": ...}), and safetensors. A name that all tensors begin with, as Lightning's "model.",
    is left out. Nothing in the file is executed.

    One leniency: files from PyTorch 0.4.0, RepDistiller's version, have no batch norm step counters at all.
    The model then keeps its own, which only a batch norm without momentum would use.

    Args:
        model: The network; untouched when loading fails.
        path: The checkpoint.

    Raises:
        ValueError: If the file is missing, damaged, no checkpoint, or asks to run code; or if its tensors are
            not exactly the model's, or have values that no trained network has. All missing, unexpected and
            misshapen ones, and all with such values, are counted, and the first ten of each kind named.

    Source: Tf-FD (train_kd.py at 3427f98), Knowledge-Distillation-Zoo (network.py, train_kd.py at 65470c8),
    RepDistiller (models/ and train_teacher.py at b84f547).
    """
    path = Path(path)
    expected = model.state_dict()
    found = _rename(_state_dict(_read(path), path), expected, path)
    if not any(name.endswith(_COUNTER) for name in found):
        found |= {name: tensor for name, tensor in expected.items() if name.endswith(_COUNTER)}
    if faults := fit_faults(found, expected):
        raise ValueError(f"Weights file {path} does not fit the model: {faults}")
    if faults := value_faults(found, expected):
        raise ValueError(f"Weights file {path} holds values that no trained network has: {faults}")
    model.load_state_dict(found)


def read_provenance(path: str | Path) -> Any:
    """Return what a file of this project says of its past, unchecked; None for other people's files.

    Raises:
        ValueError: If the file cannot be read.
    """
    content = _read(Path(path))
    is_ours = isinstance(content, Mapping) and content.get("format") == "tffd"
    return content.get("provenance") if is_ours else None


def _read(path: Path) -> Any:
    """Return what the file holds, or raise a ValueError that says what is wrong with it."""
    damaged = f"Weights file {path} is damaged or not written by torch.save. Download it or save it again."
    try:
        data = read_archive(path)
    except FileNotFoundError:
        raise ValueError(f"Weights file {path} does not exist. Check the path.") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(f"Weights file {path} cannot be read: {reason}. Give the path of a file.") from None
    except zipfile.BadZipFile:
        raise ValueError(damaged) from None
    if _is_safetensors(content := data.read()):
        try:
            return safetensors.torch.load(content)
        except Exception:  # types that this PyTorch lacks, and headers that contradict themselves
            raise ValueError(damaged.replace("torch.save", "safetensors")) from None
    try:
        if zipfile.is_zipfile(data):
            # torch.load does not compare checksums: a flipped bit would become a wrong weight.
            with zipfile.ZipFile(data) as archive:
                if archive.testzip() is not None:
                    raise zipfile.BadZipFile
        data.seek(0)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_harmless()):
            warnings.simplefilter("ignore")  # about pickle protocols: what it cannot read is refused anyway
            return torch.load(data, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's words for a class or function that the file asks for, and for what it may not be filled with.
        if not any(word in str(error) for word in ("GLOBAL", "allowlisted")):
            raise ValueError(damaged) from None
        raise ValueError(
            f"Weights file {path} was refused, and nothing in it was run: it holds more than tensors and "
            "plain values, so reading it would run code. Where you trust it, save its state dict alone with "
            "torch.save(model.state_dict(), path)."
        ) from None
    except Exception:  # the reader of arbitrary bytes fails in arbitrary ways: KeyError, AssertionError, ...
        raise ValueError(damaged) from None


def _is_safetensors(data: bytes) -> bool:
    """Tell it by its first bytes: the length of a JSON header, little-endian in 8 bytes, and the header."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


def _state_dict(content: Any, path: Path) -> Mapping[str, Tensor]:
    """Find the network in a checkpoint."""
    if isinstance(content, Mapping):
        inner = (content[key] for key in _NETWORK_KEYS if isinstance(content.get(key), Mapping))
        state = next(inner, content)
        if state and all(isinstance(name, str) and _is_dense(value) for name, value in state.items()):
            return state
        holds = f"a dictionary with {listed(map(repr, content))}" if content else "an empty dictionary"
    else:
        holds = f"a {type(content).__name__}"
    raise ValueError(
        f"Weights file {path} holds {holds}, but no network: expected a state dict of ordinary tensors, "
        f"alone or under one of the keys {listed(map(repr, _NETWORK_KEYS))}. Choose another file."
    )


def _is_dense(value: Any) -> bool:
    """Say whether a value can be copied into a parameter; loading could fail half-way through otherwise."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        return False
    return not (value.is_meta or value.is_quantized or value.is_complex())


def _rename(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Give the tensors this project's names."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in _without_wrapper(state, expected).items():
        ours = name
        for pattern, replacement in _RENAMES:
            if ours in expected:
                break
            ours = re.sub(pattern, replacement, ours)
        if ours in renamed:
            raise ValueError(f"Weights file {path} holds {ours} under two names. Save it again with one.")
        renamed[ours] = tensor
    return renamed


def _without_wrapper(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Leave out a first part that all names share: the attribute under which a training program keeps the network."""
    while not any(name in expected for name in state):
        heads = {name.partition(".")[0] for name in state}
        if len(heads) > 1 or not all("." in name for name in state):
            break
        state = {name.partition(".")[2]: tensor for name, tensor in state.items()}
    return state

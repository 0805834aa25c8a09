"""Loading network weights from this project's and two public checkpoint formats."""

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tffd.files import read_archive

# Where a file keeps the network: this project and RepDistiller, Knowledge-Distillation-Zoo and Tf-FD, and
# the student in the last two's distillation runs. A file with none of these keys must be a state dict itself.
_NETWORK_KEYS = ("model", "net", "snet")

# Other people's tensor names -> this project's, tried in order on every name that the model does not have.
_RENAMES = (
    (r"^((module|_orig_mod)\.)+", ""),  # wrappers: DataParallel, torch.compile
    (r"^res(\d+)\.", r"layer\1."),  # Knowledge-Distillation-Zoo and Tf-FD: res1.0.conv1 -> layer1.0.conv1
    (r"\.ds\.", ".downsample."),  # the same: layer2.0.ds.0 -> layer2.0.downsample.0
    (r"^block(\d+)\.layer\.", r"block\1."),  # RepDistiller's wide ResNets: block1.layer.0 -> block1.0
    (r"\.convShortcut\.", ".shortcut."),  # the same
    (r"^classifier\.", "fc."),  # RepDistiller's VGG
)
_COUNTER = ".num_batches_tracked"
_SHOWN = 10


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Copy a checkpoint's weights and batch norm statistics into a model, all of them or none.

    The format is told by the content: this project's ({"format": "tffd", "model": state dict, ...}, or a
    plain state dict), Knowledge-Distillation-Zoo's and Tf-FD's ({"net": ...}, in a distillation run
    {"snet": ...}) and RepDistiller's ({"model": ...}). Nothing in the file is executed.

    One leniency: files from PyTorch 0.4.0, RepDistiller's version, have no batch norm step counters at all.
    The model then keeps its own, which only a batch norm without momentum would use.

    Args:
        model: The network; untouched when loading fails.
        path: The checkpoint.

    Raises:
        ValueError: If the file is missing, damaged, no checkpoint, or asks to run code; or if its tensors are
            not exactly the model's. All missing, unexpected and misshapen ones are counted, and the first
            ten of each kind named.

    Source: Tf-FD (train_kd.py at 3427f98), Knowledge-Distillation-Zoo (network.py, train_kd.py at 65470c8),
    RepDistiller (models/ and train_teacher.py at b84f547).
    """
    path = Path(path)
    expected = model.state_dict()
    found = _rename(_state_dict(_read(path), path), expected, path)
    if not any(name.endswith(_COUNTER) for name in found):
        found |= {name: tensor for name, tensor in expected.items() if name.endswith(_COUNTER)}
    faults = _faults(found, expected)
    if faults:
        raise ValueError(f"Weights file {path} does not fit the model: {faults}")
    model.load_state_dict(found)


def _read(path: Path) -> Any:
    """Return what torch.load makes of the file, or raise a ValueError that says what is wrong with it."""
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
    try:
        if zipfile.is_zipfile(data):
            # torch.load does not compare checksums: a flipped bit would become a wrong weight.
            with zipfile.ZipFile(data) as archive:
                if archive.testzip() is not None:
                    raise zipfile.BadZipFile
        data.seek(0)
        # RepDistiller's last checkpoints hold their command line as a Namespace, which is plain data.
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # about pickle protocols: what it cannot read is refused anyway
            return torch.load(data, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):  # PyTorch's word for a class or function that the file asks for
            raise ValueError(damaged) from None
        raise ValueError(
            f"Weights file {path} was refused, and nothing in it was run: it holds more than tensors and "
            "plain values, so reading it would run code. Where you trust it, save its state dict alone with "
            "torch.save(model.state_dict(), path)."
        ) from None
    except Exception:  # the reader of arbitrary bytes fails in arbitrary ways: KeyError, AssertionError, ...
        raise ValueError(damaged) from None


def _state_dict(content: Any, path: Path) -> Mapping[str, Tensor]:
    """Find the network in a checkpoint."""
    if isinstance(content, Mapping):
        inner = (content[key] for key in _NETWORK_KEYS if isinstance(content.get(key), Mapping))
        state = next(inner, content)
        if state and all(isinstance(name, str) and _is_dense(value) for name, value in state.items()):
            return state
        holds = f"a dictionary with {_listed(map(repr, content))}" if content else "an empty dictionary"
    else:
        holds = f"a {type(content).__name__}"
    raise ValueError(
        f"Weights file {path} holds {holds}, but no network: expected a state dict of ordinary tensors, "
        f"alone or under one of the keys {_listed(map(repr, _NETWORK_KEYS))}. Choose another file."
    )


def _is_dense(value: Any) -> bool:
    """Say whether a value can be copied into a parameter; loading could fail half-way through otherwise."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        return False
    return not (value.is_meta or value.is_quantized or value.is_complex())


def _rename(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Give the tensors this project's names."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        ours = name
        for pattern, replacement in _RENAMES:
            if ours in expected:
                break
            ours = re.sub(pattern, replacement, ours)
        if ours in renamed:
            raise ValueError(f"Weights file {path} holds {ours} under two names. Save it again with one.")
        renamed[ours] = tensor
    return renamed


def _faults(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Describe how the file's tensors differ from the model's; the empty string where they fit."""
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    misshapen = [name for name in expected if name in found and found[name].shape != expected[name].shape]
    if not missing and not unexpected and misshapen == ["fc.weight", "fc.bias"]:
        theirs, ours = found["fc.weight"].shape, expected["fc.weight"].shape
        if theirs[1:] == ours[1:]:
            return (
                f"the file was trained for {theirs[0]} classes, the model has {ours[0]}. Choose the data set "
                "that it was trained on, or other weights."
            )
    shapes = [f"{name} {[*found[name].shape]} instead of {[*expected[name].shape]}" for name in misshapen]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    parts = [f"{len(names)} {kind} ({_listed(names)})" for kind, names in kinds.items() if names]
    return f"{'; '.join(parts)}. Choose the model that the file was saved from." if parts else ""


def _listed(names: Iterable[str]) -> str:
    """Join names, at most _SHOWN of them."""
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more

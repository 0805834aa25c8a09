"""How the tensors of a weight file differ from those of a network, in words."""

from collections.abc import Iterable, Mapping

from torch import Tensor

_SHOWN = 10  # names of a kind


def fit_faults(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
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
    if not missing and not unexpected and len(misshapen) == 1:
        theirs, ours = found[misshapen[0]].shape, expected[misshapen[0]].shape
        is_first = misshapen[0] == next(iter(expected)) and len(theirs) == len(ours) == 4
        if is_first and (theirs[0], theirs[2:]) == (ours[0], ours[2:]):
            return (
                f"the file was trained on pictures of {theirs[1]} channels, those here have {ours[1]}. Choose the data "
                "set that it was trained on, or other weights."
            )
    shapes = [f"{name} {[*found[name].shape]} instead of {[*expected[name].shape]}" for name in misshapen]
    types = [
        f"{name} {_type(found[name])} instead of {_type(expected[name])}"
        for name in expected
        if name in found and found[name].is_floating_point() != expected[name].is_floating_point()
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes, "of another type": types}
    parts = [f"{len(names)} {kind} ({listed(names)})" for kind, names in kinds.items() if names]
    return f"{'; '.join(parts)}. Choose the model that the file was saved from." if parts else ""


def value_faults(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Describe values that training never leaves in tensors of these names and shapes; the empty string without any.

    They are looked at in the type that the model will hold them in, which may be too narrow for some; PyTorch cannot
    compare all of the types that a file may have.
    """
    held = {name: tensor.to(expected[name].dtype) for name, tensor in found.items()}
    infinite = [name for name, tensor in held.items() if not tensor.isfinite().all()]
    negative = [name for name, tensor in held.items() if name.endswith("running_var") and (tensor < 0).any()]
    kinds = {"with NaN or infinity": infinite, "negative variances": negative}
    parts = [f"{len(names)} {kind} ({listed(names)})" for kind, names in kinds.items() if names]
    return f"{'; '.join(parts)}. Choose another file, or an earlier checkpoint." if parts else ""


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def listed(names: Iterable[str]) -> str:
    """Join names, at most _SHOWN of them."""
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more

"""Whether pictures fit the memory of a card."""

from tffd.data.arrays import Arrays
from tffd.data.splits import Split


class DataTooLarge(ValueError):
    """The pictures do not fit; trying again would not help."""


def bytes_on_device(arrays: Arrays, split: Split, read_test: bool) -> int:
    """How many bytes the pictures of a run take on its device."""
    each = arrays.train_images[:1].nbytes
    return each * (len(split.train) + len(split.val)) + (arrays.test_images.nbytes if read_test else 0)


def require_room(needed: int, memory: int, kind: str, trials: int = 1) -> None:
    """Refuse pictures that do not fit.

    Args:
        needed: Bytes that they take in one run.
        memory: Bytes of the card.
        kind: Which these are: "in all" or "free".
        trials: How many trials share the card.
    Raises:
        DataTooLarge: If they do not fit.
    """
    if needed * trials <= memory:
        return
    shared = f", times {trials} trials that share it (sweep.trials_per_device={trials})" if trials > 1 else ""
    fewer = ", a smaller sweep.trials_per_device" if trials > 1 else ""
    raise DataTooLarge(
        f"the pictures take {_gib(needed)} of a CUDA device{shared}, but it has {_gib(memory)} {kind}; use a smaller "
        f"dataset.train_size or picture size{fewer}, or device=cpu"
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"

"""Data sets as uint8 arrays, their splits, and augmented batches on the device."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tffd.data.arrays import Arrays, Summary
from tffd.data.content import content_of, digest_content
from tffd.data.reading import load_arrays
from tffd.data.sources import DataChanged, Source

if TYPE_CHECKING:
    from tffd.data.loading import Data, load_data
    from tffd.data.pictures import Augmentation, Batch, Partner, Pictures

__all__ = [
    "Arrays", "Augmentation", "Batch", "Data", "DataChanged", "Partner", "Pictures", "Source", "Summary",
    "content_of", "digest_content", "load_arrays", "load_data",
]  # fmt: skip

_OF_TENSORS = {
    **dict.fromkeys(("Data", "load_data"), "tffd.data.loading"),
    **dict.fromkeys(("Augmentation", "Batch", "Partner", "Pictures"), "tffd.data.pictures"),
}


def __getattr__(name: str) -> Any:
    """Import what works on tensors when it is asked for: what a data set is can be told without PyTorch."""
    if name not in _OF_TENSORS:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(_OF_TENSORS[name]), name)

"""Data sets as uint8 arrays, their splits, and augmented batches on the device."""

from tffd.data.arrays import Arrays, Summary
from tffd.data.content import content_of, digest_content
from tffd.data.pictures import Augmentation, Batch, Partner, Pictures
from tffd.data.loading import Data, load_arrays, load_data
from tffd.data.sources import DataChanged, Source

__all__ = [
    "Arrays", "Augmentation", "Batch", "Data", "DataChanged", "Partner", "Pictures", "Source", "Summary",
    "content_of", "digest_content", "load_arrays", "load_data",
]  # fmt: skip

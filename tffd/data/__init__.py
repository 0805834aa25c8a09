"""Data sets as uint8 arrays, their splits, and augmented batches on the device."""

from tffd.data.arrays import Arrays, Summary
from tffd.data.loading import Augmentation, Batch, Data, Partner, Pictures, load_arrays, load_data
from tffd.data.sources import Source

__all__ = ["Arrays", "Augmentation", "Batch", "Data", "Partner", "Pictures", "Source", "Summary", "load_arrays", "load_data"]

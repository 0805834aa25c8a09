"""Where pictures come from: one class a data set, each able to check itself cheaply and to read itself whole."""

from tffd.data.sources.base import DataChanged, ReadsFiles, Source
from tffd.data.sources.cifar import Cifar
from tffd.data.sources.digits import Digits
from tffd.data.sources.image_folder import ImageFolder
from tffd.data.sources.synthetic import Synthetic

__all__ = ["Cifar", "DataChanged", "Digits", "ImageFolder", "ReadsFiles", "Source", "Synthetic"]

"""Where the runs of a sweep are trained: in processes of this machine, or as jobs of a cluster."""

from tffd.sweep.cluster.queue import ClusterError
from tffd.sweep.executors.base import Executor, Handle
from tffd.sweep.executors.choose import cuda_devices, make_executor, pin_to_devices

__all__ = ["ClusterError", "Executor", "Handle", "cuda_devices", "make_executor", "pin_to_devices"]

"""The kd_modes: each one class in a file here, one YAML in conf/kd_mode that names it, and one test case."""

from tffd.distill.base import DistillMode, FirstStage, Networks, Setting, Step
from tffd.distill.composition import Distillation, Weighing
from tffd.refusal import CompositionError

__all__ = ["CompositionError", "DistillMode", "Distillation", "FirstStage", "Networks", "Setting", "Step", "Weighing"]

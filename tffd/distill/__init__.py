"""The kd_modes: each one class here, one YAML in conf/kd_mode and one test case."""

from tffd.distill.base import DistillMode
from tffd.distill.none import NoDistillation
from tffd.distill.teacher_free import TeacherFree

__all__ = ["DistillMode", "NoDistillation", "TeacherFree"]

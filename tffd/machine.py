"""What this machine has for a run: devices, the precisions that they compute in, cores and memory.

PyTorch is imported where it has to be asked, which takes two seconds; not where there can be no CUDA device.
"""

import ctypes
import os
import platform
import resource
import runpy
import sys
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tffd.texts import counted

if TYPE_CHECKING:
    import torch

_NAMES_NONE = (None, "", "-1", "NoDevFiles", "none", "void")
"""Values of CUDA_VISIBLE_DEVICES that hide all devices, or leave it open which there are."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_TENSOR_CORES = 8  # the compute capability from which NVIDIA's cards have bfloat16 and TF32

_SIGNS_OF_A_DRIVER = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/nvhost-ctrl", "/dev/dxg", "/run/opengl-driver/lib")
"""Of NVIDIA's on a PC, a Jetson and in WSL; the last is where NixOS keeps all drivers."""


class DeviceMissing(ValueError):
    """The device that was asked for, or found when a sweep began, is not there."""


class PrecisionMissing(DeviceMissing):
    """The device is there and lacks the precision that was asked for."""


def cuda_is_available() -> bool:
    """Tell whether PyTorch sees a CUDA device."""
    if "torch" not in sys.modules and not _may_have_cuda():
        return False
    import torch

    return torch.cuda.is_available()


@cache
def _may_have_cuda() -> bool:
    """Tell whether PyTorch could see a CUDA device: not if it was built without, or without NVIDIA's driver.

    The driver's library is what PyTorch's CUDA asks for devices, and loads by the same name, but from more places.
    """
    package = find_spec("torch")
    if package is None or package.origin is None:
        return True  # whoever imports it says what is wrong
    try:
        built_for = runpy.run_path(str(Path(package.origin).with_name("version.py")))
    except OSError:
        return True
    if built_for.get("hip") is not None or "cuda" not in built_for:
        return True
    if built_for["cuda"] is None:
        return False
    if any(map(os.path.exists, _SIGNS_OF_A_DRIVER)):
        return True
    try:
        return bool(ctypes.CDLL("libcuda.so.1"))
    except OSError:
        return False


def device_type(asked: str) -> str:
    """Return what auto, cpu or cuda comes to, cpu or cuda; auto takes CUDA where there is one.

    Raises:
        DeviceMissing: If cuda is asked for and there is none, or auto where CUDA_VISIBLE_DEVICES names some.
    """
    if asked == "cpu":
        return "cpu"
    available, visible = cuda_is_available(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked == "cuda" and not available:
        where = "here" if visible is None else f"here with CUDA_VISIBLE_DEVICES={visible}"
        raise DeviceMissing(f"device=cuda: PyTorch sees no CUDA device {where}; use device=cpu or device=auto")
    if asked == "auto" and not available and visible not in _NAMES_NONE:
        raise DeviceMissing(
            f"CUDA_VISIBLE_DEVICES={visible}: PyTorch sees none of these devices, and device=auto would take the CPU "
            "in silence; name those that are there, or set device=cpu"
        )
    return "cuda" if available else "cpu"


def effective_device(asked: str) -> "torch.device":
    """Return the same as PyTorch's device.

    Raises:
        DeviceMissing: As `device_type` does.
    """
    import torch

    return torch.device(device_type(asked))


def effective_precision(asked: str, device: str) -> str:
    """Return the precision that one comes to on a device: auto is bf16 on CUDA cards that have it, else fp32.

    Where the CUDA device is not to be seen from here, as it is of a cluster's node, auto means bf16: a run whose card
    has none fails by name.

    Args:
        asked: auto, fp32, tf32 or bf16.
        device: auto, cpu or cuda.
    """
    if asked != "auto":
        return asked
    if device == "cpu":
        return "fp32"
    available = cuda_is_available()
    if device == "auto" and not available:
        return "fp32"
    return "bf16" if not available or _cards_have_tensor_cores() else "fp32"


def require_precision(precision: str, device: "torch.device") -> None:
    """Refuse a precision that a device lacks: it would be emulated, or replaced in silence.

    Args:
        precision: fp32, tf32 or bf16.
        device: Where the run is, or will be; a CUDA device may be one that is not to be seen from here.
    Raises:
        PrecisionMissing: If the device lacks it.
    """
    if device.type == "cpu" and precision == "tf32":
        raise PrecisionMissing("trainer.precision=tf32: is a mode of CUDA cards; on a CPU use trainer.precision=fp32")
    if device.type == "cuda" and precision != "fp32" and cuda_is_available() and not _cards_have_tensor_cores():
        import torch

        name = torch.cuda.get_device_name(0)
        raise PrecisionMissing(f"trainer.precision={precision}: {name} does not have it; use trainer.precision=fp32")


def use_precision(precision: str) -> None:
    """Let this process compute in a precision; fp32 is IEEE's, for PyTorch's own default has TF32 in convolutions."""
    import torch

    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def visible_cuda_devices() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them.

    Raises:
        DeviceMissing: If CUDA_VISIBLE_DEVICES names some that PyTorch does not see.
    """
    if not cuda_is_available():
        return []
    import torch

    count, allowed = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if not allowed:
        return [str(index) for index in range(count)]
    names = [name.strip() for name in allowed.split(",")]
    # A process sees one slice of a card at most (NVIDIA's MIG), so their number tells nothing; each run looks itself.
    if len(names) != count and not any(name.startswith("MIG-") for name in names):
        raise DeviceMissing(
            f"CUDA_VISIBLE_DEVICES={allowed}: names {counted(len(names), 'device')}, but PyTorch sees {count} of them; "
            "name those that are there, each once"
        )
    return names


def cuda_device_key(index: int, name: str) -> str:
    """What a CUDA device is called in every process; its number depends on CUDA_VISIBLE_DEVICES."""
    if name.startswith("MIG-"):
        return name
    import torch

    return str(getattr(torch.cuda.get_device_properties(index), "uuid", name))


def smallest_memory() -> int:
    """Bytes of memory of the smallest card that this process sees."""
    import torch

    return min(torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count()))


def _cards_have_tensor_cores() -> bool:
    """Tell whether all cards that this process sees have bfloat16 and TF32; a sweep may use any of them."""
    import torch

    if torch.version.hip is not None:
        return True
    capabilities = [torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())]
    return all(major >= _TENSOR_CORES for major, _ in capabilities)


def keep_freed_memory() -> None:
    """Let glibc keep the memory that is freed for the next tensors, in place of giving it back and asking again.

    A training step takes and frees some hundred megabytes, and the system fills every page with zeros before it hands
    it out: up to a quarter of a step. Other C libraries, and whoever has set one of glibc's own variables, are left
    alone.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**30)  # larger ones are few, and go back when they are freed
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def device_name(device: "torch.device") -> str:
    """What a device is called by its maker."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({_processor()})"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def reset_peak_memory(device: "torch.device") -> None:
    """Let `peak_memory_mb` count from now."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # gives back what earlier runs of this process left
    with suppress(OSError):  # not Linux
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # 5 resets the peak alone: proc(5)


def peak_memory_mb(device: "torch.device") -> float:
    """The most memory since the last reset, in MiB: what a CUDA device had to have for tensors, or else the process.

    On a card it is what was reserved, for that is what others go without; tensors of a CUDA graph count nowhere else.
    """
    import torch

    peak = torch.cuda.max_memory_reserved() / 2**20 if device.type == "cuda" else _peak_of_process_mb()
    return round(peak, 1)


def _peak_of_process_mb() -> float:
    """The largest resident set: since the last reset on Linux, elsewhere since the process began.

    getrusage tells Linux's peak too, but with that of the process which started this one: exec hands it on.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

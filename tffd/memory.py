"""How much memory a run took."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory_mb` count from now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # not Linux
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # 5 resets the peak alone: proc(5)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory since the last reset, in MiB: tensors on a CUDA device, or else the process."""
    peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else _peak_of_process_mb()
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

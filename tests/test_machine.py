"""Devices and precisions: what auto comes to, and what is refused because it is not there."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.support import compose_config
from tffd import machine
from tffd.build import build_parts
from tffd.config import require_config
from tffd.identity import describe_run, hash_config
from tffd.machine import DeviceMissing, effective_device, effective_precision, require_precision, use_precision
from tffd.records import now

CUDA = torch.device("cuda")


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """A machine with these CUDA devices, by their compute capability."""
    found: list[tuple[int, int]] = []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(found))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: found[index])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Tesla V100")
    yield found
    use_precision("fp32")


@pytest.mark.parametrize(
    ("capabilities", "device", "precision"),
    [
        ([], "auto", "fp32"),
        ([], "cpu", "fp32"),
        ([], "cuda", "bf16"),  # of a cluster's node
        ([(9, 0)], "auto", "bf16"),
        ([(9, 0)], "cpu", "fp32"),
        ([(7, 0)], "cuda", "fp32"),
        ([(9, 0), (7, 5)], "auto", "fp32"),  # a run may be on either
    ],
)
def test_what_auto_comes_to(
    cards: list[tuple[int, int]], capabilities: list[tuple[int, int]], device: str, precision: str
) -> None:
    cards += capabilities
    assert effective_precision("auto", device) == precision
    assert effective_precision("tf32", device) == "tf32"


def test_the_identity_tells_precisions_apart(cards: list[tuple[int, int]]) -> None:
    configs = {
        name: require_config(compose_config(f"trainer.precision={name}")) for name in ("auto", "fp32", "tf32", "bf16")
    }
    on_cpu = {name: hash_config(config).settings for name, config in configs.items()}
    assert on_cpu["auto"] == on_cpu["fp32"]
    assert len(set(on_cpu.values())) == 3
    cards.append((9, 0))
    assert hash_config(configs["auto"]).settings == on_cpu["bf16"]
    assert describe_run(configs["auto"], study=None, trial=None, started=now())["precision"] == "bf16"


def test_a_device_that_is_gone_is_named(cards: list[tuple[int, int]]) -> None:
    with pytest.raises(DeviceMissing, match="device=cuda: PyTorch sees no CUDA device here"):
        build_parts(require_config(compose_config("device=cuda")))
    assert effective_device("auto").type == "cpu"


@pytest.mark.parametrize("names", ["0", "3,GPU-5e1d"])
def test_auto_takes_no_cpu_where_devices_were_named(
    cards: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
    with pytest.raises(DeviceMissing, match=f"CUDA_VISIBLE_DEVICES={names}: PyTorch sees none of these devices"):
        effective_device("auto")
    assert effective_device("cpu").type == "cpu"
    cards.append((9, 0))
    assert effective_device("auto").type == "cuda"


@pytest.mark.parametrize("names", ["", "-1", "NoDevFiles"])
def test_auto_is_the_cpu_where_all_devices_are_hidden(
    cards: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
    assert effective_device("auto").type == "cpu"


def test_a_precision_that_is_not_there_is_refused(cards: list[tuple[int, int]]) -> None:
    with pytest.raises(DeviceMissing, match="tf32: is a mode of CUDA cards; on a CPU use trainer.precision=fp32"):
        build_parts(require_config(compose_config("device=cpu", "trainer.precision=tf32")))
    cards.append((7, 0))
    for precision in ("tf32", "bf16"):
        with pytest.raises(DeviceMissing, match=f"precision={precision}: Tesla V100 does not have it; use"):
            require_precision(precision, CUDA)
    require_precision("fp32", CUDA)
    require_precision("bf16", torch.device("cpu"))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_tf32_is_on_where_it_was_asked_for_alone(cards: list[tuple[int, int]], precision: str) -> None:
    use_precision(precision)
    assert torch.backends.cuda.matmul.allow_tf32 is (precision == "tf32")
    assert torch.backends.cudnn.allow_tf32 is (precision == "tf32")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_fp32_on_a_card_is_ieee() -> None:
    require_precision("tf32", CUDA)
    torch.manual_seed(0)
    inputs, kernel = torch.randn(8, 64, 32, 32, device="cuda"), torch.randn(64, 64, 3, 3, device="cuda")
    exact = torch.nn.functional.conv2d(inputs.double(), kernel.double())
    errors = {}
    for precision in ("fp32", "tf32"):
        use_precision(precision)
        errors[precision] = (torch.nn.functional.conv2d(inputs, kernel).double() - exact).abs().max().item()
    use_precision("fp32")
    # Sums of 576 products of unit size: 23 bits leave about 1e-5, TF32's 10 bits about 1e-2.
    assert errors["fp32"] < 1e-3 < errors["tf32"]


@pytest.mark.parametrize(
    ("built_for", "has_driver", "may_have"),
    [
        ("cuda = hip = None", True, False),
        ("cuda, hip = '13.0', None", False, False),
        ("cuda, hip = '13.0', None", True, True),
        ("cuda, hip = None, '6.4'", False, True),  # AMD's cards have another driver
        ("", False, True),  # a version of PyTorch that says it elsewhere
    ],
)
def test_pytorch_is_not_asked_for_devices_where_there_can_be_none(
    built_for: str, has_driver: bool, may_have: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> object:
        if not has_driver:
            raise OSError(name)
        return object()

    (tmp_path / "version.py").write_text(built_for)
    monkeypatch.setattr(machine, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    monkeypatch.setattr(machine.ctypes, "CDLL", load)
    monkeypatch.setattr(machine, "_SIGNS_OF_A_DRIVER", ())
    assert machine._may_have_cuda.__wrapped__() is may_have
    monkeypatch.setattr(machine, "_SIGNS_OF_A_DRIVER", (str(tmp_path),))  # a driver that Python does not find
    assert machine._may_have_cuda.__wrapped__() is (built_for != "cuda = hip = None")


FREED = """
import torch
from pathlib import Path
from tffd.machine import keep_freed_memory

def pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

keep_freed_memory()
before = pages()
tensor = torch.ones(2**24)
del tensor
print(pages() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_freed_memory_is_kept_unless_one_has_chosen_otherwise() -> None:
    """64 MiB are 16,384 pages."""

    def kept(**variables: str) -> int:
        words = [sys.executable, "-c", FREED]
        done = subprocess.run(words, env=os.environ | variables, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert kept() > 15_000 > 5_000 > kept(MALLOC_TRIM_THRESHOLD_="131072")

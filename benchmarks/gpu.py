"""Training on one CUDA card: steps and epochs, the limits that they are held against, and trials that share it."""

import multiprocessing
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import torch
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import WALL, Benchmark, Sample, Unavailable, Variant, Variants, timed
from benchmarks.training import STEP, epochs, per_picture, synthetic
from tffd.machine import use_precision

_CIFAR = 50_000  # pictures
_EPOCHS = 240  # of the published setting
_SCRIPT_STEPS = 10
_EAGER, _COMPILED = "trainer.cuda_graph=false", "trainer.compile=true"
_WAYS: dict[str, tuple[str, ...]] = {
    "eager": (_EAGER,),
    "compiled": (_EAGER, _COMPILED),
    "graph": (),
    "both": (_COMPILED,),
}
_LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpyAsync", "cudaMemsetAsync")
_MARKS = ("Optimizer.", "## ", "Torch-Compiled")  # of PyTorch's on the card's time line, over kernels
_PARTS = 50  # batches of an epoch where a whole one would say no more
_TRIALS_AN_HOUR = f"trials of {_EPOCHS} epochs an hour"


def gpu(
    *, model: str = "resnet20", teacher: str = "resnet110", batch: int = 128, ways: tuple[str, ...] = tuple(_WAYS)
) -> Iterator[Variants]:
    """An epoch of 50,000 pictures, eager, compiled, as a CUDA graph, both, and a loop as the script runs.

    bf16 but for "tfd, float32", which is what the loop as the script runs is held against; that one has TF32, as
    PyTorch has by default. The first round, in which what is compiled is compiled, does not count. `gpu_trials` has the
    memory of a process.
    """
    _require_one_card(ways)
    choices = {f"{mode}, {way}": (mode, *_WAYS[way]) for way in ways for mode in ("none", "tfd")}
    choices |= {"tfd_plus, graph": ("tfd_plus",), "tfd, float32, graph": ("tfd", "trainer.precision=fp32")}
    variants: dict[str, Variant] = {}
    for name, (mode, *more) in choices.items():
        parts = synthetic(mode, model, teacher, batch, _CIFAR, "cuda", *more)
        base = f"none, {ways[0]}" if variants else None
        variants[name] = Variant(_epoch(epochs(parts), -(-_CIFAR // batch)), base)
    few = synthetic("none", model, teacher, batch, _SCRIPT_STEPS * batch, "cuda")
    script = Variant(_as_the_script(per_picture(model, teacher, few, batch)), "tfd, float32, graph")
    yield {**variants, "as the script, tfd": script}


def _epoch(epoch: Callable[[], object], steps: int) -> Callable[[int], Sample]:
    def run(_: int) -> Sample:
        torch.cuda.synchronize()
        seconds = timed(epoch)[WALL]
        return {STEP: 1000 * seconds / steps, "s an epoch": seconds, f"s for {_EPOCHS}": _EPOCHS * seconds}

    return run


def _as_the_script(loop: Callable[[], object]) -> Callable[[int], Sample]:
    def run(_: int) -> Sample:
        use_precision("tf32")
        seconds = timed(loop)[WALL]
        use_precision("fp32")  # as the other variants, whose bf16 is autocast's
        return {STEP: 1000 * seconds / _SCRIPT_STEPS}

    return run


def gpu_limits(
    *, model: str = "resnet20", batch: int = 128, ways: tuple[str, ...] = ("eager", "graph", "both")
) -> Iterator[Variants]:
    """A step against what the card's memory and its launches allow, both measured on it.

    By memory: each convolution reads its input twice and its output's gradient twice, and writes its output and its
    input's gradient, in bfloat16, at the rate of a large copy; all else is taken to be fused with them. By launches: so
    many kernels, each as short as one that adds 1 to a number, in a graph or asked for one by one.
    """
    _require_one_card(ways)
    variants: dict[str, Variant] = {}
    for way in ways:
        for mode in ("none", "tfd"):
            parts = synthetic(mode, model, "none", batch, _PARTS * batch, "cuda", *_WAYS[way])
            memory = _moved_bytes(parts.learners.student, batch) / _copy_rate()
            variants[f"{mode}, {way}"] = Variant(_against_limits(epochs(parts), memory))
    yield variants


def _against_limits(epoch: Callable[[], object], memory: float) -> Callable[[int], Sample]:
    def run(_: int) -> Sample:
        seconds = statistics.median(timed(epoch)[WALL] for _ in range(3)) / _PARTS
        kernels, busy, launches = _profiled(epoch)
        each, in_graph = _launch_seconds()
        return {
            STEP: 1000 * seconds,
            "kernels": kernels / _PARTS,
            "ms of kernels": busy / _PARTS,
            "launches": launches / _PARTS,
            "ms by launches": 1000 * max(launches * each, kernels * in_graph) / _PARTS,
            "ms by memory": 1000 * memory,
        }

    return run


def _profiled(work: Callable[[], object]) -> tuple[int, float, int]:
    """Return how many kernels some work runs, the milliseconds that they take, and how often it asked for something."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as seen:
        work()
        torch.cuda.synchronize()
    events = [event for event in seen.events() or () if not event.name.startswith(_MARKS)]
    kernels = [event.device_time_total / 1000 for event in events if event.device_type == DeviceType.CUDA]
    launches = [event for event in events if event.name.startswith(_LAUNCHES)]
    return len(kernels), sum(kernels), len(launches)


def _moved_bytes(network: nn.Module, batch: int) -> int:
    """Return what the convolutions of a step must read and write, in bfloat16."""
    moved = 0

    def count(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal moved
        moved += 2 * 3 * (inputs[0].numel() + output.numel())

    hooks = [each.register_forward_hook(count) for each in network.modules() if isinstance(each, nn.Conv2d)]
    with torch.no_grad():
        network(torch.zeros(batch, 3, 32, 32, device="cuda"))
    for hook in hooks:
        hook.remove()
    return moved


@cache
def _copy_rate() -> float:
    """Bytes a second, read and written, of a copy that no cache holds."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * 2**30 / _seconds(lambda: target.copy_(source), 20)


@cache
def _launch_seconds() -> tuple[float, float]:
    """What the shortest kernel takes when it is asked for by itself, and in a graph of 400."""
    number, graph = torch.zeros(1, device="cuda"), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(400):
            number.add_(1)
    return _seconds(lambda: number.add_(1), 4000), _seconds(graph.replay, 50) / 400


def _seconds(work: Callable[[], object], times: int) -> float:
    def repeated() -> None:
        for _ in range(times):
            work()
        torch.cuda.synchronize()

    repeated()
    return timed(repeated)[WALL] / times


def gpu_trials(*, model: str = "resnet20", batch: int = 128, seconds: float = 4.0) -> Iterator[Variants]:
    """Trials of tfd an hour, by the steps of 1, 2, 4, 8 and 16 processes that share the card for some seconds.

    Training alone: a trial is 240 epochs of 50,000 pictures. "MPS" is with NVIDIA's Multi-Process Service, which this
    starts and ends, where it is installed: without it, kernels of different processes do not run at the same time.
    """
    _require_one_card()
    torch.cuda.empty_cache()  # of what was measured in this process before
    steps_a_trial = _EPOCHS * -(-_CIFAR // batch)

    def sharing(count: int, way: str, has_mps: bool) -> Callable[[int], Sample]:
        def run(_: int) -> Sample:
            with _multi_process_service() if has_mps else nullcontext():
                rates, peak = _rates(count, (model, batch, seconds, _WAYS[way]))
            figures = {_TRIALS_AN_HOUR: 3600 * sum(rates) / steps_a_trial, "steps a second": sum(rates)}
            return figures | {"MiB reserved, each": peak}

        return run

    has_service = shutil.which(_MPS) is not None
    cases = [(1, "eager", False), (8, "eager", False)]
    cases += [(count, "graph", False) for count in ((1, 8) if has_service else (1, 2, 4, 8, 16))]
    cases += [(1, "both", False), (8, "both", False)]
    if has_service:
        cases += [*((count, "graph", True) for count in (2, 4, 8, 16)), (8, "both", True)]
    names = {case: f"{case[0]}, {case[1]}{', MPS' if case[2] else ''}" for case in cases}
    yield {name: Variant(sharing(*case), None if case[0] == 1 else f"1, {case[1]}") for case, name in names.items()}


Training = tuple[str, int, float, tuple[str, ...]]
"""Network, batch size, seconds and overrides."""


def _rates(count: int, training: Training) -> tuple[list[float], float]:
    """Train in so many processes at the same time; return the steps a second of each, and the most memory of one."""
    processes = multiprocessing.get_context("spawn")
    barrier, answers = processes.Barrier(count), processes.Queue()
    children = [processes.Process(target=_train, args=(barrier, answers, training)) for _ in range(count)]
    for child in children:
        child.start()
    found: list[tuple[float, float]] = []
    try:
        while len(found) < count:
            if any(child.exitcode for child in children):
                raise RuntimeError(f"one of {count} processes that share the card failed")
            while not answers.empty():
                found.append(answers.get())
            time.sleep(0.05)
    finally:
        for child in children:
            if len(found) < count:
                child.terminate()
            child.join()
    return [rate for rate, _ in found], max(peak for _, peak in found)


def _train(barrier: Barrier, answers: "Queue[tuple[float, float]]", training: Training) -> None:
    model, batch, seconds, settings = training
    torch.set_num_threads(1)
    epoch = epochs(synthetic("tfd", model, "none", batch, _PARTS * batch, "cuda", *settings))
    for _ in range(2):
        epoch()
    barrier.wait(timeout=300)
    started, done = time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        epoch()
        done += _PARTS
    answers.put((done / (time.perf_counter() - started), torch.cuda.max_memory_reserved() / 2**20))


_MPS = "nvidia-cuda-mps-control"


@contextmanager
def _multi_process_service() -> Iterator[None]:
    """NVIDIA's service in a directory of its own, for processes that are started within."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # its daemon may still write there
        places = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        os.environ.update(places)
        try:
            subprocess.run([_MPS, "-d"], check=True)
            yield
        finally:
            subprocess.run([_MPS], input="quit\n", text=True, check=False, stdout=subprocess.DEVNULL)
            for name in places:
                del os.environ[name]


def _require_one_card(ways: Collection[str] = ()) -> None:
    if unknown := set(ways) - set(_WAYS):
        raise Unavailable(f"--ways {min(unknown)}: there is no such way; there are {', '.join(_WAYS)}")
    if not torch.cuda.is_available():
        raise Unavailable("There is no GPU here, so nothing was measured.")
    if torch.cuda.device_count() > 1:
        raise Unavailable("There are several GPUs here; choose one with CUDA_VISIBLE_DEVICES=0.")


BENCHMARKS = (
    Benchmark(gpu, rounds=3, ratios={STEP: 0.1}, warm_up=True, needs_card=True),
    Benchmark(gpu_limits, rounds=1, warm_up=True, needs_card=True),
    Benchmark(gpu_trials, rounds=1, ratios={_TRIALS_AN_HOUR: 0.1}, needs_card=True),
)

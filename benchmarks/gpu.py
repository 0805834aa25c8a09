"""The training benchmarks on one CUDA card. They have never run on a GPU: no figure has been taken with them."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.commands import PLAIN, listed, makespan, run_py
from benchmarks.measure import WALL, Benchmark, Sample, Unavailable, Variant, Variants, timed
from benchmarks.training import STEP, epochs, per_picture, synthetic
from benchmarks.trials import TRIALS_AN_HOUR
from tffd.machine import use_precision

_MODES = ("none", "tfd", "tfd_plus")
_CIFAR = 50_000  # pictures
_SCRIPT_STEPS = 20


def gpu(*, model: str = "resnet20", teacher: str = "resnet110", batch: int = 128) -> Iterator[Variants]:
    """An epoch of 50,000 pictures, eager, compiled, as a CUDA graph, and a loop as the script runs; never run on a GPU.

    bf16 where the card has it, but for "tfd, float32", which is what the loop as the script runs is held against; that
    one has TF32, as PyTorch has by default. The memory is the most that is allocated beyond what stays between epochs.
    The first round, in which what is compiled is compiled, does not count.
    """
    _require_one_card()
    compiled, graph = "trainer.compile=true", "trainer.cuda_graph=true"
    ways = {"eager": (), "compiled": (compiled,), "graph": (graph,), "compiled, graph": (compiled, graph)}
    choices = {f"{mode}, {way}": (mode, *settings) for way, settings in ways.items() for mode in _MODES}
    choices["tfd, float32"] = ("tfd", "trainer.precision=fp32")
    variants: dict[str, Variant] = {}
    for name, (mode, *more) in choices.items():
        parts = synthetic(mode, model, teacher, batch, _CIFAR, "cuda", *more)
        variants[name] = Variant(_epoch(epochs(parts), -(-_CIFAR // batch)), "none, eager" if variants else None)
    few = synthetic("none", model, teacher, batch, _SCRIPT_STEPS * batch, "cuda")
    script = Variant(_as_the_script(per_picture(model, teacher, few, batch)), "tfd, float32")
    yield {**variants, "as the script, tfd": script}


def _epoch(epoch: Callable[[], object], steps: int) -> Callable[[int], Sample]:
    def run(_: int) -> Sample:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        stays = torch.cuda.memory_allocated()
        seconds = timed(epoch)[WALL]
        peak = (torch.cuda.max_memory_allocated() - stays) / 2**20
        return {STEP: 1000 * seconds / steps, "s an epoch": seconds, "minutes for 240": 4 * seconds, "peak MiB": peak}

    return run


def _as_the_script(loop: Callable[[], object]) -> Callable[[int], Sample]:
    def run(_: int) -> Sample:
        use_precision("tf32")
        seconds = timed(loop)[WALL]
        use_precision("fp32")  # as the other variants, whose bf16 is autocast's
        return {STEP: 1000 * seconds / _SCRIPT_STEPS}

    return run


def gpu_trials(*, trials: int = 16, epochs: int = 3) -> Iterator[Variants]:
    """Trials of tfd an hour on 50,000 pictures, for 1, 2, 4, 8 and 16 that share the card; never run on a GPU."""
    _require_one_card()

    def sweep(at_once: int) -> Callable[[int], Sample]:
        def run(_: int) -> Sample:
            with tempfile.TemporaryDirectory() as folder:
                data = ("dataset=synthetic", f"dataset.source.train_pictures={_CIFAR}", "dataset.source.classes=100")
                chosen = (f"sweep.n_jobs={at_once}", f"sweep.trials_per_device={at_once}", "trainer=script")
                varied = (f"seed={listed(range(trials))}", f"trainer.epochs={epochs}", "device=cuda")
                run_py(Path(folder), "-m", *PLAIN[1:], *data, *chosen, *varied)
                return {TRIALS_AN_HOUR: 3600 * trials / makespan(Path(folder))}

        return run

    alone = "1 trial"
    yield {alone: Variant(sweep(1))} | {f"{each} trials": Variant(sweep(each), alone) for each in (2, 4, 8, 16)}


def _require_one_card() -> None:
    if not torch.cuda.is_available():
        raise Unavailable("There is no GPU here, so nothing was measured.")
    if torch.cuda.device_count() > 1:
        raise Unavailable("There are several GPUs here; choose one with CUDA_VISIBLE_DEVICES=0.")


BENCHMARKS = (
    Benchmark(gpu, ratios={STEP: 0.1}, warm_up=True, needs_card=True),
    Benchmark(gpu_trials, ratios={TRIALS_AN_HOUR: 0.15}, rounds=3, needs_card=True),
)

"""How long commands take before they do anything, or where there is nothing left to do."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.commands import PLAIN, run_apart, run_py
from benchmarks.measure import PROCESSOR, WALL, Benchmark, Sample, Variant, Variants

_SHORT = (*PLAIN, "model=resnet8", "trainer.epochs=1")
_SWEEP = ("-m", "name=sweep", "seed=0,1", "sweep.n_jobs=1", *_SHORT)


def startup() -> Iterator[Variants]:
    """Commands in fresh processes, against one that only imports PyTorch; files are in the page cache."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        finished = ("name=run", *_SHORT)
        run_py(directory, *finished)
        run_py(directory, *_SWEEP)

        def command(*arguments: str) -> Callable[[int], Sample]:
            return lambda _: run_py(directory, *arguments)

        commands = {
            "--help": command("--help"),
            "--cfg job": command("--cfg", "job"),
            "a run of one epoch": lambda number: run_py(directory, "name=fresh", *_SHORT, f"seed={number}"),
            "the same command on a finished run": command(*finished),
            "the same command on a finished sweep": command(*_SWEEP),
            "analysis table": lambda _: run_apart("-m", "analysis", "table", directory / "sweep"),
        }
        imports = "import torch"
        yield {imports: Variant(lambda _: run_apart("-c", imports))} | {
            name: Variant(run, imports) for name, run in commands.items()
        }


BENCHMARKS = (Benchmark(startup, ratios={WALL: None, PROCESSOR: 0.2}),)

"""What whole searches cost, and what they find: `python -m benchmarks.searches record|replay`.

`record` trains points of a search space to their end and keeps their learning curves. `replay` lets pruners search in
them, in many random orders, which shows far smaller differences than real searches do. `race` runs the same trials with
this project's sweeper and with others, for the time they take. `searches.md` has the figures.
"""

import argparse
import csv
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, PercentilePruner
from optuna.pruners import SuccessiveHalvingPruner as Halving

from benchmarks import stopping
from benchmarks.stopping import EPOCHS, BehindBaseline, Curve, Either, Found, RayAsha

REPOSITORY = Path(__file__).parents[1]
PLAIN = ("model=resnet8", "device=cpu", "threads=1", "trainer.checkpoint_every=0")
SPACES = {  # what is searched beside both lambdas, points, seeds
    "lambdas": ((), 60, (0, 1, 2)),
    "rate": (("trainer.lr=tag(log,interval(0.003,0.3))",), 40, (0, 1)),
}
CHEAPER = {"short": ("trainer.epochs=6",), "few": ("dataset.train_size=100", "trainer.epochs=10")}
"""Lower fidelities: fewer epochs; fewer epochs of half the pictures. Either costs 6, or 5, of the 30 epochs."""


class Table(NamedTuple):
    """Learning curves: of points by seed, of the baseline by seed, and the last values at the lower fidelities."""

    curves: list[dict[int, Curve]]
    baseline: dict[int, Curve]
    cheaper: dict[str, list[float]]


def run(directory: Path, *arguments: str) -> float:
    """Run a sweep to its end; return how long the command took."""
    places = [f"results_dir={directory}", f"dataset.cache={directory}/cache"]
    started = time.perf_counter()
    command = [sys.executable, "run.py", "-m", *places, *PLAIN, *arguments]
    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def record(folder: Path) -> None:
    """Train random points to their end; a command that is run again goes on."""
    for name, (dimensions, points, seeds) in SPACES.items():
        search = ["sweep=lambdas", *dimensions, f"sweep.n_trials={points}", "sweep/sampler=random", "sweep.n_jobs=2"]
        run(folder, *search, f"name={name}", f"sweep.seeds=[{','.join(map(str, seeds))}]", "sweep/pruner=none")
        for fidelity, settings in CHEAPER.items():
            run(folder, *search, f"name={name}-{fidelity}", *settings, "sweep.baseline=null", "sweep/pruner=none")


def read(folder: Path, name: str) -> Table:
    """Read what `record` left."""
    curves: dict[str, dict[int, dict[int, Curve]]] = {}
    for result in sorted(folder.glob(f"{name}*/**/result.json")):
        done = json.loads(result.read_text())
        rows = csv.DictReader((result.parent / "metrics.csv").open())
        kind = "baseline" if done["kd_mode"] == "none" else done["name"]
        number = 0 if kind == "baseline" else done["trial"]
        curves.setdefault(kind, {}).setdefault(number, {})[done["seed"]] = [float(row["val_top1"]) for row in rows]
    last = {kind: [curves[f"{name}-{kind}"][n][0][-1] for n in sorted(curves[name])] for kind in CHEAPER}
    return Table([curves[name][n] for n in sorted(curves[name])], curves["baseline"][0], last)


def rules(table: Table) -> dict[str, Callable[[list[Curve], list[int], int, str], Found]]:
    """What is replayed: by name, a search in curves of some points and one seed."""

    def pruned(make: Callable[[int], BasePruner], shown: Callable[[Curve], Curve] = list) -> Any:
        return lambda curves, points, seed, name: stopping.prune(make(seed), curves, name, shown)

    def behind(seed: int, first: int, margin: float) -> BasePruner:
        return BehindBaseline(table.baseline[seed], first, margin)

    def halving(first: int, factor: int, _: int) -> BasePruner:
        return Halving(first, factor)

    def screened(cheap: list[float], epochs: int, kept: int, curves: list[Curve], points: list[int], *_: Any) -> Found:
        return stopping.screen(curves, [cheap[point] for point in points], epochs, kept)

    found = {
        "none": pruned(lambda _: NopPruner()),
        "median": pruned(lambda _: MedianPruner(5, 5)),
        "percentile 25": pruned(lambda _: PercentilePruner(25.0, 5, 5)),
        "hyperband, factor 3 from epoch 3": pruned(lambda _: HyperbandPruner(3, EPOCHS, 3)),
        "Ray's ASHA, factor 3 from epoch 3": pruned(lambda _: RayAsha(3, 3)),
        "Ray's ASHA, factor 4 from epoch 3": pruned(lambda _: RayAsha(3, 4)),
    }
    for factor, first in ((3, 2), (3, 3), (3, 5), (4, 2), (4, 3), (4, 5)):
        found[f"halving, factor {factor} from epoch {first}"] = pruned(partial(halving, first, factor))
    found |= {
        "halving 4 from 3, means of 3 epochs": pruned(lambda _: Halving(3, 4), stopping.means),
        "halving 4 from 3, best so far": pruned(lambda _: Halving(3, 4), stopping.best_so_far),
        "halving 4 from 3, first 3 stopped": pruned(lambda _: Halving(3, 4, bootstrap_count=3)),
        "behind baseline, from epoch 3": pruned(lambda seed: behind(seed, 3, 0.0)),
        "behind baseline by 2 points, from epoch 3": pruned(lambda seed: behind(seed, 3, 2.0)),
        "halving 3 from 3, or behind baseline": pruned(lambda seed: Either(Halving(3, 3), behind(seed, 3, 0.0))),
        "ASHA that resumes, factor 3": lambda curves, *_: stopping.promote(curves, (3, 9), 3),
        "ASHA that resumes, factor 4": lambda curves, *_: stopping.promote(curves, (3, 12), 4),
        "halving in step, factor 3, resumed": lambda curves, *_: stopping.halve(curves, (3, 9), 3, True),
        "halving in step, factor 3, restarted": lambda curves, *_: stopping.halve(curves, (3, 9), 3, False),
    }
    for fidelity, epochs in (("short", 6), ("few", 5)):
        for kept in (3, 5):
            found[f"{fidelity} first, {kept} in full"] = partial(screened, table.cheaper[fidelity], epochs, kept)
    return found


def replay(folder: Path, orders: int, trials: int) -> None:
    """Search in the recorded curves; what was chosen is judged by its other seeds, which the search did not see."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in SPACES:
        table = read(folder, name)
        seeds = sorted(table.curves[0])
        independent = len(table.curves) * len(seeds) / trials
        print(f"{name}: {len(table.curves)} points, {len(seeds)} seeds; {orders} searches of {trials} trials")
        figures: dict[str, list[tuple[float, float]]] = {}
        for order in range(orders):
            drawn = random.Random(order)
            points, seed = drawn.sample(range(len(table.curves)), trials), drawn.choice(seeds)
            worth = [statistics.mean(table.curves[p][s][-1] for s in seeds if s != seed) for p in points]
            for rule, look in rules(table).items():
                spent, chosen = look([table.curves[point][seed] for point in points], points, seed, f"{order}-{rule}")
                figures.setdefault(rule, []).append((spent / (trials * EPOCHS), max(worth) - worth[chosen]))
        for rule, measured in figures.items():
            shares, regrets = zip(*measured, strict=True)
            lost = [own - none for own, (_, none) in zip(regrets, figures["none"], strict=True)]
            error = statistics.stdev(lost) / independent**0.5
            print(
                f"| {rule} | {statistics.mean(shares):.1%} | {statistics.mean(regrets):.2f} | "
                f"{statistics.mean(lost):+.2f} ({error:.2f}) |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "replay"))
    parser.add_argument("folder", type=Path, nargs="?", default=Path("results/searches"), help="of the curves")
    parser.add_argument("--orders", type=int, default=200, help="random orders; default: %(default)s")
    parser.add_argument("--trials", type=int, default=30, help="of a search; default: %(default)s")
    options = parser.parse_args()
    if options.what == "record":
        record(options.folder)
    else:
        replay(options.folder, options.orders, options.trials)


if __name__ == "__main__":
    main()

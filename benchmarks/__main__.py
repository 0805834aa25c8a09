"""Measure what is claimed about speed, and say whether it still holds.

    python -m benchmarks [NAME ...] [--rounds N] [--quick]   measure, print, and keep it in benchmarks/results.json
    python -m benchmarks check [NAME ...]                    measure few rounds, and compare the ratios with those kept
    python -m benchmarks tables                              write the tables of benchmarks/README.md

Without names: all that need no GPU; `check` leaves out those that take more than some minutes.
"""

import argparse
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import gather, gpu, races, report, results, startup, sweeps, training, trials
from benchmarks.measure import Benchmark, Unavailable

MODULES = (training, startup, trials, sweeps, races, gather, report, gpu)
BENCHMARKS = {benchmark.name: benchmark for module in MODULES for benchmark in module.BENCHMARKS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for.

    Returns:
        The exit code: 0, 1 if a ratio has left its band, or 2 if this machine lacks what was asked for.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = words.pop(0) if words[:1] in (["check"], ["tables"]) else "measure"
    parser = _parser()
    given = vars(parser.parse_args(words))
    names, file = given.pop("names"), Path(given.pop("results"))
    rounds, threads, is_quick = given.pop("rounds"), given.pop("threads"), given.pop("quick")
    usual = [name for name, each in BENCHMARKS.items() if not (each.needs_card or (verb == "check" and each.is_long))]
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {min(unknown)}; there are {', '.join(BENCHMARKS)}")
    chosen = [BENCHMARKS[name] for name in names or usual]
    taken = {option for each in chosen for option in each.options} if verb == "measure" else set()
    if unused := set(given) - taken:
        parser.error(f"--{min(unused)} is no option of what was asked for")
    try:
        if verb == "tables":
            results.write_tables(results.read(file))
        elif verb == "check":
            return _check(chosen, rounds, results.read(file))
        else:
            for benchmark in chosen:
                options = benchmark.options | {name: given[name] for name in benchmark.options if name in given}
                entry = benchmark.measure(
                    rounds or (benchmark.quick if is_quick else benchmark.rounds), threads, **options
                )
                results.keep(benchmark.name, entry, file)  # and stays when the next one is stopped
                print(f"{benchmark.name}:{results.describe(benchmark.name, entry)}", flush=True)
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _check(chosen: Sequence[Benchmark], rounds: int | None, committed: Mapping[str, results.Entry]) -> int:
    """Measure again, as the committed ratios were measured, and print a line for each that has left its band."""
    lines = []
    for benchmark in chosen:
        if benchmark.name not in committed:
            print(f"{benchmark.name}: nothing is committed to compare with", flush=True)
            continue
        earlier = committed[benchmark.name]
        measured = benchmark.measure(rounds or benchmark.quick, earlier["conditions"]["threads"], **earlier["options"])
        found = list(results.compare(benchmark, earlier, measured))
        print("\n".join(found) or f"{benchmark.name}: all ratios are within their bands", flush=True)
        lines += found
    return 1 if lines else 0


def _parser() -> argparse.ArgumentParser:
    described = "\n".join(f"  {each.name:11}{_first_line(each)} {_defaults(each)}" for each in BENCHMARKS.values())
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=__doc__,
        epilog=f"benchmarks, and the options that are theirs:\n{described}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rounds", type=int, help="instead of each benchmark's own number")
    parser.add_argument("--threads", type=int, help="of what is measured in this process; `check` takes the committed")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--results", default=results.FILE, metavar="FILE", help="default: benchmarks/results.json")
    options = {name: value for each in BENCHMARKS.values() for name, value in each.options.items()}
    for name, value in options.items():
        several: dict[str, Any] = {"nargs": "+"} if isinstance(value, tuple) else {}
        kind = type(value[0] if several else value)
        parser.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **several)
    return parser


def _first_line(benchmark: Benchmark) -> str:
    return (inspect.getdoc(benchmark.variants) or "").partition("\n")[0]


def _defaults(benchmark: Benchmark) -> str:
    return " ".join(f"[--{name} {results.words(value)}]" for name, value in benchmark.options.items())


if __name__ == "__main__":
    sys.exit(main())

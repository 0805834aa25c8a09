"""Commands of run.py in copies of a process that has imported what they need, which costs each of them 3 s."""

import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__])


def run_copied(program: Path, arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a command to its end as if it had been started anew.

    Raises:
        subprocess.TimeoutExpired: If it does not end in time; it is killed then.
    """
    with tempfile.TemporaryDirectory() as directory:
        streams = [Path(directory) / name for name in ("stdout", "stderr")]
        words = [str(program), *arguments]
        process = _SERVER.Process(target=_run, args=(words, streams, os.getcwd(), dict(os.environ)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        stdout, stderr = (stream.read_text() if stream.exists() else "" for stream in streams)
        return subprocess.CompletedProcess(words, process.exitcode, stdout, stderr)


def _run(words: list[str], streams: Sequence[Path], directory: str, environment: dict[str, str]) -> None:
    for number, stream in enumerate(streams, start=1):
        with stream.open("w") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr  # type: ignore[misc]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.argv = words
    from tffd.command import main

    try:
        main()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError):
                stream.flush()

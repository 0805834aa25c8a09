"""The process that local runs are forked from, with the heavy imports done. Imports nothing heavy itself."""

import functools
import multiprocessing
import os
from multiprocessing import forkserver

from tffd.sweep.signals import without_interrupts

# The last two are imported late, by the first optimiser and the first split: two seconds each of every fresh process.
_PRELOADED = ["tffd.sweep.worker", "tffd.trial", "torch._dynamo", "sklearn.model_selection"]


@functools.cache
def start_fork_server() -> None:
    """Start it, without waiting until its imports are done; it ends with this process.

    It has no standard error: a spare process that the end of a sweep surprises would print a traceback. A run has its
    own log from its first line on, and a process that dies before that is known by its exit code.
    """
    multiprocessing.set_forkserver_preload(_PRELOADED)
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with without_interrupts():  # it ends with this process, not with the terminal; so do its children
            forkserver.ensure_running()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

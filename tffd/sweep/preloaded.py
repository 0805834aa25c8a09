"""What the server that a sweep's runs are forked from does once for all of them: this module is imported there."""

from importlib import import_module

from tffd.identity import loaded_commit, loaded_versions

# What a run imports on its way. Only runs that compile, and a few networks, need the last, which takes 1.5 s.
for name in ("sweep.worker", "session", "training.checkpoint", "training.saliency", "parts"):
    import_module(f"tffd.{name}")
import_module("torch._dynamo")
loaded_commit()
loaded_versions()

"""Imports go one way: what a package is made of, from the top down, and no circle of modules anywhere.

Imports inside functions count as well; those for types alone do not.
"""

from functools import cache
from graphlib import TopologicalSorter

import grimp
import pytest

LAYERS = {
    "tffd": (
        "sweep",  # many runs
        "app | guard",  # what a Hydra application needs of the library
        "trial | session | checks | build | teacher | failures",  # one run
        "training",
        "identity | instantiation | provenance",  # what a run is, and what it is made of
        "distill",
        "models | losses | data | checkpoints",
        "config | schema | fields | records | trust | passwords | refusal | variables",
        "choices | files | links | machine | schedule | streams | tensors | texts | weight_faults",  # know no config
    ),
    "tffd.sweep": (
        "engine",
        "scheduler",
        "estimate | jobs | running",
        "executors",
        "cluster",
        "display | outcome",
        "summary | worker",
        "planning | studies",
        "checking",
        "compose | rules",
        "plan",
        "pinned | samplers | teachers",
        "space",
        "arguments | optuna_private | processes",
    ),
}
"""From the top down. A layer imports nothing from those above it; modules of one layer may import each other."""

WITHOUT_CIRCLES = ("tffd",)


@cache
def graph(package: str) -> grimp.ImportGraph:
    return grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)


@pytest.mark.parametrize("package", LAYERS)
def test_each_layer_imports_only_from_those_below(package: str) -> None:
    layers = [grimp.Layer(*layer.split(" | "), independent=False) for layer in LAYERS[package]]
    found = graph(package.split(".")[0]).find_illegal_dependencies_for_layers(layers, containers={package})
    assert sorted(f"{illegal.importer} reaches {illegal.imported}" for illegal in found) == []


@pytest.mark.parametrize("package", LAYERS)
def test_every_module_has_a_layer(package: str) -> None:
    named = {name for layer in LAYERS[package] for name in layer.split(" | ")}
    assert {child.rpartition(".")[2] for child in graph(package.split(".")[0]).find_children(package)} == named


@pytest.mark.parametrize("package", WITHOUT_CIRCLES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    modules = graph(package)
    imports = {name: modules.find_modules_directly_imported_by(name) for name in modules.modules}
    TopologicalSorter(imports).prepare()  # or it raises CycleError, with the circle

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
        "command",  # the console script
        "app | guard",  # what a Hydra application needs of the library
        "trial | session | checks | soundness | network_faults | rehearsal | build | teacher | failures",  # one run
        "training",
        "identity | instantiation | provenance",  # what a run is, and what it is made of
        "parts | source_faults",  # what a network, a mode and a data source must have
        "distill",
        "models | losses | data | checkpoints",
        "config | schema | fields | records | trust | passwords | refusal | variables",
        "program | own_parts",
        # These know no config.
        "blaming | choices | files | links | machine | passes | remembered | schedule | streams | tensors | texts"
        " | weight_faults | without_compiler",
    ),
    "tffd.sweep": (
        "engine",
        "scheduler",
        "estimate | jobs | running",
        "executors",
        "cluster",
        "display | outcome",
        "preloaded",
        "summary | worker",
        "planning | studies",
        "checking",
        "implied | compose | rules | weights",
        "plan",
        "pinned | samplers | teachers",
        "space",
        "arguments | optuna_private | processes | trial_state",
    ),
    "analysis": (
        "__main__",
        "commands",
        "report",
        "missing | figures",
        "means | ablation | compare | best | status",  # a folder a question
        "select",
        "read",
        "statistics | sheets",  # know nothing of runs
    ),
}
"""From the top down. A layer imports nothing from those above it; modules of one layer may import each other."""

WITHOUT_CIRCLES = ("tffd", "analysis")
APART = ("means", "ablation", "compare", "best", "status")


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


@pytest.mark.parametrize("question", APART)
def test_no_question_imports_another(question: str) -> None:
    modules = graph("analysis")
    others = (f"analysis.{other}" for other in APART if other != question)
    assert not any(
        modules.direct_import_exists(importer=f"analysis.{question}", imported=other, as_packages=True)
        for other in others
    )


def test_the_analysis_knows_neither_torch_nor_the_library() -> None:
    modules = grimp.build_graph("analysis", "tffd", include_external_packages=True, cache_dir=None)
    of_analysis = {"analysis", *modules.find_descendants("analysis")}
    imported = {name for module in of_analysis for name in modules.find_modules_directly_imported_by(module)}
    assert imported and not [name for name in imported if name.partition(".")[0] in ("torch", "tffd", "hydra")]

"""Pictures of a sweep: each a pure function giving an info object, its chart, and two ways to render any chart.

Data flows one way: gathered runs, info (numbers, tested), chart (axes and marks), matplotlib or plotly.

Optuna's own visualisations do not serve: they need its import and the study's storage, which may be a database on
another machine, and know neither seeds nor baselines; these pictures are made of files. Its evaluator of parameter
importance (fANOVA) is used, on a study made in memory of what the files say.
"""

# Light on purpose, for the command line's help; `kinds` maps each name to its function.
KINDS = (
    "landscape",
    "history",
    "parallel",
    "importance",
    "learning",
    "ablation",
    "pareto",
    "terms",
    "saliency",
)
FORMATS = ("png", "pdf", "html")

"""Pictures of a sweep: each a pure function giving an info object, its chart, and two ways to render any chart.

Data flows one way: gathered runs, info (numbers, tested), chart (axes and marks), matplotlib or plotly.
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

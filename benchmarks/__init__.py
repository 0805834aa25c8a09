"""What is claimed about speed, and how it is measured: `python -m benchmarks --help`.

A benchmark is a generator (training.py, startup.py, trials.py, sweeps.py, gather.py, report.py, gpu.py) that prepares
what it needs, yields variants and cleans up. measure.py runs the variants turn and turn about; results.py keeps medians
and ratios in results.json, writes the tables of README.md from it, and compares new ratios with it.
"""

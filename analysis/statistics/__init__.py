"""Means, differences, intervals and p-values of plain numbers; knows nothing of runs."""

"""The table of means: a row a setting, with its difference to the baseline."""

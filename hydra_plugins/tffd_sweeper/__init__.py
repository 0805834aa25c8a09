"""The Hydra plugin through which `-m` reaches tffd's sweep engine."""

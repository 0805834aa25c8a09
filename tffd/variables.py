"""Names of the environment variables by which the processes of a sweep know what they work on."""

STUDY_VARIABLE = "TFFD_STUDY"
"""The study of which a run is a trial, where our sweeper started it."""

TRIAL_VARIABLE = "TFFD_TRIAL"
"""The number of that trial."""

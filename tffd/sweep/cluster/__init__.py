"""Runs as jobs of a cluster, or of submitit on this machine: submitted, watched and put into the queue again."""

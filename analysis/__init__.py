"""Reads what runs left on disk and makes tables of it: gather, statistics, rendering.

Reads files only: no torch, no tffd, so that a laptop can look at results that a cluster computed.
"""

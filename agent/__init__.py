"""Attune's worker agent: turns any Linux container into a job worker."""

__version__ = "0.1.0"

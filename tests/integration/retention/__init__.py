"""Pruning on real rows and files."""

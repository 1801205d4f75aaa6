"""Speed and memory, as ratios measured in one run on one machine: ``python -m tests.bench``."""

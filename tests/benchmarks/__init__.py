"""Benchmarks of speed and memory, compared with other software: `python -m tests.benchmarks`; pytest skips them."""

"""Attack geographer with real processes, and count what is lost, wrong in silence, or ends in a traceback.

`python -m tests.reliability` runs every attack and prints one table; `test_reliability.py` runs a small sample of each.
What is right is decided without the product's code: logs are read with plain DuckDB and docs/recompute_digests.py.
"""

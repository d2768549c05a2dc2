"""How fast, beside what else does the same: `python -m tests.benchmarks`. Not collected by pytest; asserts nothing."""

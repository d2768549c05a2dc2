"""Checks with training libraries that the test environment does not have; see `python -m tests.training --help`."""

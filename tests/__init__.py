"""Tests of geographer; they mirror the package."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
"""The root of the repository, for tests that start another process or read files outside the package."""

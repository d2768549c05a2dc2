"""Tests of the names that shells complete."""

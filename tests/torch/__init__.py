"""Tests of geographer.torch."""

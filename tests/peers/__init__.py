"""Exports read by the libraries that they are for, in separate environments."""

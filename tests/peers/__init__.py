"""Exports read by the libraries that they are for, in environments of their own."""

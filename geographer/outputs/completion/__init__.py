"""Completion: the names that a dataset knows, by kind and prefix, fast enough for a shell that waits."""

"""Reads: what the dataset holds at any revision, how two revisions differ, and the history of one object."""

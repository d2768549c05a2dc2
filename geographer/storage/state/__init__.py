"""Projections: the state that SQL derives from the log, with validity intervals. Delete it, and it is rebuilt equal."""

"""Outputs: read a dataset without changing it: history and provenance of an object, impact of a change, exports."""

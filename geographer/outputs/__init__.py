"""Outputs: read a dataset without changing it: diff, history of an object, export of tables and of a folder."""

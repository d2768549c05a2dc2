"""Intake: what a person brings (vector files, tables, rasters, catalogues) checked and turned into rows of the log."""

"""Plots of a dataset: map, contact sheet of chips, class balance, splits and timeline, as PNG, SVG and HTML."""

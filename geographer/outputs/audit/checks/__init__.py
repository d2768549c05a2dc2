"""The checks of an audit: duplicates, near duplicates, ground, names, files and classes."""

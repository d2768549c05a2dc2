"""Pixels: reading, cutting, burning and writing rasters, and storing their bytes by checksum."""

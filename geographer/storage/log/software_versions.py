"""The versions of the software that can change an event's outcome; the log records them in the event's payload."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from geographer import __version__

_PIXEL_KINDS: Final = ("rasters_added", "rasters_downloaded", "chips_cut", "labels_made", "geographer_imported")
"""Events whose rows describe raster files that geographer wrote or read."""


def list_software_versions(kind: str, *, has_rows: bool) -> dict[str, str]:
    """Return the versions for an event of `kind`, by name of the software."""
    versions = {"geographer": __version__, "duckdb": version("duckdb")}
    if kind == "split_assigned":
        versions |= {name: version(name) for name in ("numpy", "scipy", "shapely")}
    elif kind in _PIXEL_KINDS and has_rows:
        from geographer.rasters.software_versions import read_software_versions

        versions |= read_software_versions()
        if kind == "labels_made":
            versions["shapely"] = version("shapely")
    return versions

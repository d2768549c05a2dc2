"""Optional libraries of the viewer: tornado, and MapLibre's files, which the package `maplibre` has."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from geographer.base.errors import MissingLibraryError

_COMMAND: Final = "pip install 'geographer-datasets[view]'"
MAPLIBRE_FILES: Final = ("maplibre-gl.js", "maplibre-gl.css")


def require_libraries() -> None:
    """Raise `MissingLibraryError` unless the libraries of the viewer are installed."""
    for name in ("tornado", "maplibre"):
        if find_spec(name) is None:
            raise MissingLibraryError(f"geographer view needs {name}, which is not installed. Run: {_COMMAND}")
    find_maplibre_folder()


def find_maplibre_folder() -> Path:
    """Return the folder of MapLibre's files; importing the package would print warnings."""
    spec = find_spec("maplibre")
    for folder in spec.submodule_search_locations or [] if spec else []:
        path = Path(folder) / "srcjs"
        if all((path / name).is_file() for name in MAPLIBRE_FILES):
            return path
    raise MissingLibraryError(
        f"the installed package maplibre lacks {' or '.join(MAPLIBRE_FILES)}, which geographer view needs. "
        f"Run: {_COMMAND} --upgrade"
    )

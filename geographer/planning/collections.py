"""Collections: named sets of rasters, which rasters, catalogues and recipes make."""

from typing import Final

from geographer.base.errors import NotFoundError, UsageError
from geographer.planning.recipe import list_recipes
from geographer.storage.queries.renamings import find_later_name, list_renamings
from geographer.storage.queries.revision import Revision

_RASTER: Final = "SELECT 1 FROM current_raster WHERE collection = $name LIMIT 1"


def require_collection(revision: Revision, name: str) -> None:
    """Raise `NotFoundError` unless a collection has or had rasters, or a recipe makes it."""
    query = "SELECT DISTINCT collection FROM state.raster WHERE valid_from <= $at"
    collections = {collection for (collection,) in revision.fetch_rows(query, {"at": revision.position})}
    collections |= {recipe.made_collection for recipe in list_recipes(revision)} - {None}
    later = find_later_name(list_renamings(revision), "collection", name, 0)
    if later is not None and revision.fetch_value(_RASTER, {"name": name}) is None:
        raise NotFoundError(f"collection '{name}' was renamed. Use its name: '{later}'.")
    if name not in collections:
        names = ", ".join(sorted(collections)) or "none yet"
        raise NotFoundError(f"no collection '{name}'. The collections are: {names}.")


def require_pixels(revision: Revision, name: str) -> None:
    """Raise `NotFoundError` unless a collection exists, or `UsageError` if it is a catalogue of footprints."""
    require_collection(revision, name)
    is_catalogue = "SELECT bool_and(storage = 'catalogue') FROM current_raster WHERE collection = $name"
    if revision.fetch_value(is_catalogue, {"name": name}):
        raise UsageError(f"collection '{name}' has footprints without pixels. Choose a collection of raster files.")

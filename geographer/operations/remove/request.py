"""Remove features, rasters or recipes, with everything that depends on them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from geographer.base.errors import NotFoundError, quote_names
from geographer.base.parameters import Parameter
from geographer.operations.remove.events import FeaturesRemoved, RasterRemoval, RastersRemoved, RecipeRemoved
from geographer.planning.removed_rasters import check_ids_exist, count_rows, make_removal_rows, make_removed_rows
from geographer.planning.shared_parameters import NAME, TEXTS, list_values
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

if TYPE_CHECKING:
    import pyarrow as pa

_SCHEMA: Final = {**TEXTS, "items": {"type": "string", "minLength": 1}, "minItems": 1}
IDS: Final = Parameter("The ids.", "ID...", convert=list_values, cli="arguments", schema=_SCHEMA)


class RemoveFeatures(Request, frozen=True):
    """Remove features.

    Earlier revisions keep them.
    """

    event: ClassVar[type[FeaturesRemoved]] = FeaturesRemoved
    example = "remove features lake-17 lake-18 -m 'drained'"

    ids: Annotated[Iterable[str | int], IDS._replace(kind="feature")]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """See `Request.make_plan` and `check_ids_exist`."""
        ids = [*dict.fromkeys(map(str, self.ids))]
        check_ids_exist(revision, "feature", ids)
        rows = make_removed_rows("feature_change", [(feature_id,) for feature_id in ids])
        return Change(FeaturesRemoved(features=len(ids)), {"feature_change": rows})


class RemoveRasters(Request, frozen=True):
    """Remove rasters with their labels and split assignments; DVC's cache keeps the bytes.

    Earlier revisions keep them. A recipe does not make a chip or download again that was removed, unless it is restored
    or the recipe is replaced.
    """

    event: ClassVar[type[RastersRemoved]] = RastersRemoved
    example = "remove rasters S2A_21S018E308N -m 'clouds'"

    ids: Annotated[Iterable[str], IDS._replace(kind="raster")]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """See `Request.make_plan` and `check_ids_exist`."""
        ids = [*dict.fromkeys(self.ids)]
        check_ids_exist(revision, "raster", ids)
        rows = make_removal_rows(revision, ids)
        return _make_change(RastersRemoved, rows)


class RecipeName(Request, frozen=True):
    """A request about a recipe, by its name."""

    name: Annotated[str, NAME]


class RemoveRecipe(RecipeName, kw_only=True, frozen=True):
    """Remove a recipe and all that it made; its name can be used again.

    Earlier revisions keep both.
    """

    event: ClassVar[type[RecipeRemoved]] = RecipeRemoved
    example = "remove recipe s2 --keep"

    keep: Annotated[
        bool, Parameter("Keep what the recipe made, such as downloaded rasters.", records_default=False)
    ] = False

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the removal; raise `NotFoundError` if there is no such recipe."""
        names = [name for (name,) in revision.fetch_rows("SELECT name FROM recipes ORDER BY name")]
        if self.name not in names:
            raise NotFoundError(f"no recipe '{self.name}'. Existing: {quote_names(names, limit=20) or 'none'}.")
        query = "SELECT raster_id FROM current_raster WHERE recipe = $name ORDER BY ALL"
        rasters = [raster_id for (raster_id,) in revision.fetch_rows(query, {"name": self.name})]
        rows = {} if self.keep else make_removal_rows(revision, rasters, self.name)
        return _make_change(RecipeRemoved, rows)


def _make_change(event: type[RasterRemoval], rows: "dict[str, pa.Table]") -> Change:
    rasters, labels, splits = (count_rows(rows, f"{subject}_change") for subject in ("raster", "label", "split"))
    return Change(event(rasters=rasters, labels=labels, splits=splits), rows)

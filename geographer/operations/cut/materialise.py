"""Materialise chips: write the files of virtual chips, byte for byte those that a cut would have written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self

import msgspec

from geographer.base.errors import ConflictError, NotFoundError, quote_names
from geographer.base.executors.executor import Workers
from geographer.base.parameters import Parameter
from geographer.base.values import Window
from geographer.operations.cut.chip_rows import describe_chip_file
from geographer.operations.cut.events import ChipsMaterialised
from geographer.planning.raster_rows import make_raster_rows
from geographer.planning.recipe import WORKERS, list_recipes
from geographer.planning.shared_parameters import TEXTS, list_values
from geographer.storage.queries.revision import Revision
from geographer.storage.request import (
    BuildContext,
    Change,
    PlanContext,
    PlannedFile,
    PlannedFiles,
    Request,
    RevisionOpener,
)
from geographer.storage.workspace.chip_windows import VirtualChip, list_virtual_chips
from geographer.storage.workspace.source_rasters import ReplacingFile, SourceRasters

_CHIPS: Final = (
    "SELECT raster_id, collection, recipe, feature_id, properties FROM current_raster WHERE storage = 'virtual' "
    "AND recipe IN (SELECT unnest($recipes::VARCHAR[])) ORDER BY raster_id"
)
_ALL_RECIPES: Final = "SELECT DISTINCT recipe FROM current_raster WHERE storage = 'virtual' ORDER BY recipe"
_RECIPES: Final = Parameter(
    "The cut recipes whose virtual chips to write. Default: all.",
    "[RECIPE]...",
    convert=list_values,
    cli="arguments",
    kind="recipe",
    schema={**TEXTS, "items": {"type": "string", "minLength": 1}},
)


class MaterialiseChips(Request, frozen=True):
    """Write the files of virtual chips, which cut --virtual recorded as windows.

    The files are those that cut would have written, byte for byte. Ids, labels and splits stay as they are. The recipe
    stays virtual: chips that update adds later are windows again.
    """

    event: ClassVar[type[ChipsMaterialised]] = ChipsMaterialised
    example = "materialise chips --workers 2"

    recipes: Annotated[Iterable[str], _RECIPES] = ()
    workers: Annotated[Workers, WORKERS] = 1

    @property
    def max_workers(self) -> Workers:
        """See `Request.max_workers`."""
        return self.workers

    def resolve_inputs(self, open_revision: RevisionOpener, /) -> Self:
        """See `Request.resolve_inputs`: name the recipes that have virtual chips, if none is named."""
        if self.recipes:
            return self
        with open_revision() as revision:
            return msgspec.structs.replace(self, recipes=tuple(name for (name,) in revision.fetch_rows(_ALL_RECIPES)))

    def make_plan(self, revision: Revision, context: PlanContext, /) -> MaterialisePlan:
        """Plan the files of all virtual chips of the recipes.

        Raises:
            NotFoundError: There is no such recipe, or the raster of a chip is no longer in the dataset.
            ConflictError: A recipe does not cut chips, or the raster of a chip has other pixels since it was cut.
        """
        names = [*dict.fromkeys(self.recipes)]
        makes_chips = {recipe.name: recipe.makes_chips for recipe in list_recipes(revision)}
        if unknown := [name for name in names if name not in makes_chips]:
            raise NotFoundError(f"no recipe {quote_names(unknown)}. geographer status lists the recipes.")
        if others := [name for name in names if not makes_chips[name]]:
            raise ConflictError(f"recipe {quote_names(others)} does not cut chips. Name a cut recipe.")
        rows = {row[0]: row[1:] for row in revision.fetch_rows(_CHIPS, {"recipes": names})}
        return MaterialisePlan(rows, list_virtual_chips(revision, [*rows]), revision, context.root)


class MaterialisePlan:
    """The virtual chips to write, by id, with the columns of their rows that stay."""

    def __init__(
        self, rows: Mapping[str, Any], chips: Mapping[str, VirtualChip], revision: Revision, root: Path
    ) -> None:
        self._rows, self._chips = rows, chips
        self._sources = SourceRasters(revision, root, {chip.parent_id for chip in chips.values()})
        self.event = ChipsMaterialised(chips=len(chips))

    @property
    def is_empty(self) -> bool:
        """Whether there is no virtual chip."""
        return not self._chips

    def build_outputs(self, context: BuildContext) -> Change:
        """Write the files into the staging folder."""
        from geographer.operations.cut.render import ChipTask, cut_chips
        from geographer.rasters.nodata import parse_nodata

        ids, tasks = [*self._chips], []
        for index, chip in enumerate(self._chips.values()):
            source, window = self._sources.raster_by_id[chip.parent_id], chip.window
            padding = None if window.pad_value is None else parse_nodata(window.pad_value)
            destination = context.staging / str(index) / f"{ids[index].rpartition('/')[2]}.tif"
            destination.parent.mkdir()
            place = (str(source.path), Window(*window.window), str(destination), window.bands, padding)
            tasks.append(ChipTask(*place, chip.crs, source.is_referenced))
        self._sources.require_intact()
        rows, files = [], []
        workers, md5s = context.make_executor(len(tasks)), self._sources.list_md5s()
        for result in cut_chips(tasks, workers=workers, md5s=md5s):
            rows.append(self._make_row(ids[result.index], describe_chip_file(self._rows[ids[result.index]][0], result)))
            files.append((Path(result.destination), result.checksums))
            context.progress("chips written", len(rows), len(tasks))
        self._sources.require_unchanged()
        return Change(self.event, {"raster_change": make_raster_rows(rows)} if rows else {}, files, move_files=True)

    def list_files(self) -> PlannedFiles:
        """See `ReplayablePlan.list_files`."""
        made = [
            PlannedFile(
                None,
                raster_id,
                chip.parent_id,
                Window(*chip.window.window),
                self._rows[raster_id][2],
                (chip.parent_id,),
                is_new=False,
            )
            for raster_id, chip in self._chips.items()
        ]
        return PlannedFiles(made, [])

    def select_files(self, raster_ids: Collection[str]) -> None:
        """See `ReplayablePlan.select_files`."""
        self._chips = {raster_id: chip for raster_id, chip in self._chips.items() if raster_id in raster_ids}

    def replace_sources(self, files: Mapping[str, ReplacingFile]) -> None:
        """See `ReplayablePlan.replace_sources`."""
        self._sources.replace_files(files)

    def _make_row(self, raster_id: str, columns: Mapping[str, Any]) -> dict[str, object]:
        collection, recipe, feature_id, properties = self._rows[raster_id]
        chip = self._chips[raster_id]
        return {
            "change": "changed",
            "raster_id": raster_id,
            "collection": collection,
            **columns,
            "parent_id": chip.parent_id,
            "col": chip.window.window[0],
            "row": chip.window.window[1],
            "recipe": recipe,
            "feature_id": feature_id,
            "properties": properties,
        }

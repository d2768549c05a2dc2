"""The label recipe: class masks, where they are missing or out of date. Hands back `labels_made`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from geographer.database.engine import run_script
from geographer.errors import UsageError
from geographer.events import Draft
from geographer.intake.rasters import check_name
from geographer.log.tables import arrow_table
from geographer.projections.project import MACROS
from geographer.recipes.recipe import Outcome, Run, Workshop, recipe_entry
from geographer.values import Checksums, Grid, Transform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geographer.queries.revision import Revision
    from geographer.rasters.burn import MaskMade, MaskOrder

_MISSING: Final = Path(__file__).with_name("missing.sql")
_SHAPES: Final = Path(__file__).with_name("shapes.sql")
_BYTE: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMask:
    """A mask for each raster of a collection: one class value a pixel, on the raster's own grid; 0 is background."""

    kind: ClassVar[str] = "label mask"
    event: ClassVar[str] = "labels_made"

    name: str
    collection: str

    def parameters(self) -> dict[str, Any]:
        """The collection that it labels."""
        return {"collection": self.collection}

    def plan(self, revision: Revision, run: Run) -> LabelPlan:
        """The rasters without a mask, and those whose mask no longer shows what they show."""
        check_name("label", self.name)
        revision.require_pixels(self.collection)
        run_script(revision.connection, MACROS.read_text())
        for statement in revision.connection.extract_statements(_MISSING.read_text()):
            revision.connection.execute(statement, {"name": self.name, "collection": self.collection})
        largest = revision.value("SELECT coalesce(max(value), 0) FROM classes")
        return LabelPlan(self, revision, "uint8" if largest <= _BYTE else "uint16")


class LabelPlan:
    """The masks to burn, with their shapes."""

    def __init__(self, recipe: LabelMask, revision: Revision, dtype: Any) -> None:
        self.recipe, self._dtype = recipe, dtype
        self._rasters = revision.arrow("FROM raster_to_label ORDER BY raster_id").to_pylist()
        self._shapes = dict(revision.rows(_SHAPES.read_text()))
        self.summary = {"masks": len(self._rasters), "dtype": dtype}
        classless = revision.value("SELECT count(*) = 0 FROM classes WHERE value > 0")
        if classless and self._rasters:
            raise UsageError("the dataset has no class to burn: add features, or geographer add classes")

    @property
    def empty(self) -> bool:
        """Whether every raster has its mask."""
        return not self._rasters

    def make(self, workshop: Workshop) -> Outcome:
        """Burn the masks into the staging folder; those that come out as they were are left as they are."""
        from geographer.rasters.burn import burn

        made: list[MaskMade] = []
        for mask in burn(self._orders(workshop), dtype=self._dtype, workers=workshop.workers_for(len(self._rasters))):
            made.append(mask)
            workshop.progress("masks burned", len(made), len(self._rasters))
        new = [
            (raster, mask)
            for raster, mask in zip(self._rasters, made, strict=True)
            if mask.checksums.sha256 != raster["known_sha256"]
        ]
        payload = {"recipe": recipe_entry(self.recipe), **self.summary, "masks": len(new)}
        rows = {"label_change": self._rows(new)} if new else {}
        return Outcome(
            Draft("labels_made", payload, rows), [(Path(mask.destination), mask.checksums) for _, mask in new]
        )

    def _orders(self, workshop: Workshop) -> Iterator[MaskOrder]:
        from geographer.rasters.burn import MaskOrder

        for number, raster in enumerate(self._rasters):
            grid = Grid(raster["crs"], Transform(*raster["transform"]), raster["width"], raster["height"])
            shapes = self._shapes[raster["raster_id"]] or []
            yield MaskOrder(
                grid=grid,
                shapes=tuple((shape["wkb"], shape["value"]) for shape in shapes),
                destination=str(workshop.staging / f"{number}.tif"),
            )

    def _rows(self, made: list[tuple[dict[str, Any], MaskMade]]) -> Any:
        sums: list[Checksums] = [mask.checksums for _, mask in made]
        return arrow_table(
            "label_change",
            {
                "change": ["added" if raster["known_sha256"] is None else "changed" for raster, _ in made],
                "label": [self.recipe.name] * len(made),
                "raster_id": [raster["raster_id"] for raster, _ in made],
                "path": [self._path(raster) for raster, _ in made],
                "size": [one.size for one in sums],
                "md5": [one.md5 for one in sums],
                "sha256": [one.sha256 for one in sums],
                "pixel_digest": [mask.pixel_digest for _, mask in made],
            },
        )

    def _path(self, raster: dict[str, Any]) -> str:
        stem = Path(raster["path"]).stem
        return f"labels/{self.recipe.name}/{self.recipe.collection}/{stem}.tif"

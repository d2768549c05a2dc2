"""Recipes of integer labels: class masks, instance ids, and multilabels with one band for each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from geographer.base.errors import UsageError
from geographer.operations.label.base import LabelRecipe, list_band_classes, stage_feature_drawing
from geographer.storage.database.sql_sandbox import translate_sql_errors

if TYPE_CHECKING:
    from geographer.operations.label.rendering.rasterize import Overlap
    from geographer.operations.label.rendering.render import LabelRenderer
    from geographer.storage.queries.revision import Revision

_MAX_UINT8, _MAX_UINT16 = 255, 65_535
_IGNORED: Final = (
    "SELECT feature_id::VARCHAR AS feature_id, true AS ignored, NULL::DOUBLE[] AS probabilities FROM features WHERE "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMask(LabelRecipe):
    """A mask for each raster: class values, and 0 where there is no object.

    `ignore` is the value of pixels that training should ignore: pixels of the raster without valid data, and features
    for which the SQL expression `ignore_where` is true. See `MaskRenderer` for `overlap` and `all_touched`.
    """

    kind: ClassVar[str] = "label mask"
    noun: ClassVar[str] = "masks"

    overlap: Overlap = "class-order"
    all_touched: bool = False
    ignore: int | None = None
    ignore_where: str | None = None

    def determine_settings(self, revision: Revision) -> dict[str, Any]:
        """Return the dtype of the masks: uint8 if all values are at most 255, else uint16.

        Raises:
            UsageError: a value exceeds uint16, `ignore` is the value of a class, or `ignore_where` lacks `ignore`.
        """
        if self.ignore_where is not None and self.ignore is None:
            raise UsageError("--ignore-where needs a value to burn. Pass --ignore VALUE, too.")
        if self.ignore is not None:
            self._validate_ignore(revision)
        largest = max(revision.fetch_value("SELECT coalesce(max(value), 0) FROM classes"), self.ignore or 0)
        if largest > _MAX_UINT16:
            raise UsageError(
                f"class value {largest} does not fit a mask. Give the class a value of at most {_MAX_UINT16}."
            )
        return {"dtype": "uint8" if largest <= _MAX_UINT8 else "uint16"}

    def _validate_ignore(self, revision: Revision) -> None:
        if self.ignore is None or not 0 < self.ignore <= _MAX_UINT16:
            raise UsageError(f"invalid ignore value {self.ignore}. Choose a value from 1 to {_MAX_UINT16}.")
        name = revision.fetch_value("SELECT class FROM classes WHERE value = $value", {"value": self.ignore})
        if name is not None:
            raise UsageError(f"ignore value {self.ignore} is the value of class '{name}'. Choose another --ignore.")

    def stage_feature_columns(self, revision: Revision) -> None:
        """Stage which features are ignored."""
        if self.ignore_where is None:
            LabelRecipe.stage_feature_columns(self, revision)
            return
        with translate_sql_errors(self.ignore_where, "--ignore-where"):
            condition = revision.validate_filter("features", self.ignore_where, "--ignore-where")
            stage_feature_drawing(revision, _IGNORED + condition)

    def make_renderer(self, settings: dict[str, Any]) -> LabelRenderer:
        """Return the renderer that draws the masks."""
        from geographer.operations.label.rendering.rasterize import MaskRenderer

        return MaskRenderer(settings["dtype"], self.overlap, self.all_touched, self.ignore, self.parse_width())


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelInstances(LabelRecipe):
    """The id of an object per pixel, counted from 1 in each raster; the table `objects` maps ids to features."""

    kind: ClassVar[str] = "label instances"

    overlap: Literal["smallest-on-top", "newest"] = "smallest-on-top"

    def make_renderer(self, settings: dict[str, Any]) -> LabelRenderer:
        """Return the renderer that draws the ids."""
        from geographer.operations.label.rendering.rasterize import InstanceRenderer

        return InstanceRenderer(self.overlap, self.parse_width())


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMultilabel(LabelRecipe):
    """A uint8 band of 0 and 1 for each class with a value above 0, in order of value, named after the class."""

    kind: ClassVar[str] = "label multilabel"

    def determine_settings(self, revision: Revision) -> dict[str, Any]:
        """Return the names of the bands."""
        return {"bands": list_band_classes(revision)}

    def make_renderer(self, settings: dict[str, Any]) -> LabelRenderer:
        """Return the renderer that draws the bands."""
        from geographer.operations.label.rendering.rasterize import MultilabelRenderer

        return MultilabelRenderer(tuple(settings["bands"]), self.parse_width())

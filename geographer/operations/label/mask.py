"""The recipe of class masks: one class value a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from geographer.base.errors import UsageError
from geographer.operations.label.base import LabelRecipe
from geographer.storage.database.sql_sandbox import translate_sql_errors

if TYPE_CHECKING:
    from geographer.operations.label.rendering.rasterize import MaskDrawing
    from geographer.storage.queries.revision import Revision

Overlap = Literal["class-order", "smallest-on-top", "newest"]

_BYTE, _TWO_BYTES = 255, 65_535
_IGNORED: Final = """
    CREATE OR REPLACE TEMP TABLE feature_extra AS
    SELECT feature_id::VARCHAR AS feature_id, true AS ignored, NULL::DOUBLE[] AS probabilities FROM features WHERE
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMask(LabelRecipe):
    """A mask for each raster: 0 where there is nothing, else a class value; see `MaskDrawing` for what lies on top.

    `ignore` is the value of pixels that a training is to leave out: those of the features for which `ignore_where` is
    true, and those of the raster without valid data.
    """

    kind: ClassVar[str] = "label mask"
    what: ClassVar[str] = "masks"

    overlap: Overlap = "class-order"
    all_touched: bool = False
    ignore: int | None = None
    ignore_where: str | None = None

    def form(self, revision: Revision) -> dict[str, Any]:
        """The type of the masks: uint8 while all values fit, else uint16.

        Raises:
            UsageError: a value fits neither, or the ignore value is a class's, or there is none for `ignore_where`.
        """
        if self.ignore_where is not None and self.ignore is None:
            raise UsageError("--ignore-where chooses what to ignore: pass --ignore VALUE, which it burns")
        if self.ignore is not None:
            self._check_ignore(revision)
        largest = max(revision.fetch_value("SELECT coalesce(max(value), 0) FROM classes"), self.ignore or 0)
        if largest > _TWO_BYTES:
            raise UsageError(f"class value {largest} doesn't fit a mask: values go up to {_TWO_BYTES}")
        return {"dtype": "uint8" if largest <= _BYTE else "uint16"}

    def _check_ignore(self, revision: Revision) -> None:
        if self.ignore is None or not 0 < self.ignore <= _TWO_BYTES:
            raise UsageError(f"{self.ignore} can't mark what is ignored: choose a value from 1 to {_TWO_BYTES}")
        taken = revision.fetch_value("SELECT class FROM classes WHERE value = $value", {"value": self.ignore})
        if taken is not None:
            raise UsageError(
                f"{self.ignore} is the value of class '{taken}': choose another --ignore, for a label of another name"
            )

    def extra(self, revision: Revision) -> None:
        """Which features are ignored."""
        if self.ignore_where is None:
            LabelRecipe.extra(self, revision)
            return
        with translate_sql_errors(self.ignore_where):
            revision.connection.execute(
                _IGNORED + revision.validate_filter("features", self.ignore_where, "--ignore-where")
            )

    def drawing(self, form: dict[str, Any]) -> MaskDrawing:
        """See `MaskDrawing`."""
        from geographer.operations.label.rendering.rasterize import MaskDrawing

        return MaskDrawing(form["dtype"], self.overlap, self.all_touched, self.ignore, self.drawn_width())

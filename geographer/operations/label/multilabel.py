"""The recipe of multilabels: a band of 0 and 1 for each class, so that classes may overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from geographer.operations.label.base import LabelRecipe, band_classes

if TYPE_CHECKING:
    from geographer.operations.label.rendering.rasterize import MultilabelDrawing
    from geographer.storage.queries.revision import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMultilabel(LabelRecipe):
    """A band for each class whose value is above 0, in order of value, named after the class."""

    kind: ClassVar[str] = "label multilabel"

    def form(self, revision: Revision) -> dict[str, Any]:
        """The names of the bands."""
        return {"bands": band_classes(revision)}

    def drawing(self, form: dict[str, Any]) -> MultilabelDrawing:
        """See `MultilabelDrawing`."""
        from geographer.operations.label.rendering.rasterize import MultilabelDrawing

        return MultilabelDrawing(tuple(form["bands"]), self.drawn_width())

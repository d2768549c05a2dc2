"""The recipe of soft labels: for each class the probability that a pixel belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.operations.label.base import LabelRecipe, band_classes
from geographer.storage.queries.revision import json_path

if TYPE_CHECKING:
    from geographer.operations.label.rendering.probabilities import SoftDrawing
    from geographer.storage.queries.revision import Revision

PREFIX: Final = "prob_of_class_"
_PROBABILITIES: Final = Path(__file__).with_name("probabilities.sql")
_UNFIT: Final = """
    SELECT feature_id, texts FROM feature_extra
    WHERE NOT list_bool_and([coalesce(one BETWEEN 0 AND 1, false) for one in probabilities])
       OR list_sum(probabilities) > 1.000001
    ORDER BY feature_id
"""
_BACKGROUND: Final = "SELECT coalesce(max(class) FILTER (value = 0), 'background') FROM classes"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSoft(LabelRecipe):
    """A band of probabilities for each class whose value is above 0, in order of value, named after the class.

    They stand in the columns `prob_of_class_<name>` of the features, or in those that `columns` has for a class; where
    all are null, a feature belongs to its own class with probability 1. With `background_band` a first band holds what
    the others leave of 1. See `SoftDrawing` for `combine`.
    """

    kind: ClassVar[str] = "label soft"

    columns: dict[str, str] = field(default_factory=dict)
    background_band: bool = False
    combine: Literal["mean", "max"] = "mean"

    def form(self, revision: Revision) -> dict[str, Any]:
        """The names of the bands.

        Raises:
            NotFoundError: `columns` names a class or a column that is not there.
        """
        classes = band_classes(revision)
        self._check_columns(revision, classes)
        background = [revision.fetch_value(_BACKGROUND)] if self.background_band else []
        return {"bands": background + classes}

    def _check_columns(self, revision: Revision, classes: list[str]) -> None:
        """What an update meets may have lost a class; then its column has no band to go to."""
        if revision.fetch_value("SELECT 1 FROM recipes WHERE name = $name", {"name": self.name}):
            return
        if unknown := sorted(self.columns.keys() - set(classes)):
            raise NotFoundError(
                f"no class {quote_names(unknown)} with a value above 0: there are {quote_names(classes, 20)}"
            )
        known = revision.list_columns("features")
        if unknown := sorted(set(self.columns.values()) - set(known)):
            raise NotFoundError(
                f"features have no column {quote_names(unknown)}: the columns are {quote_names(known, 20)}"
            )

    def extra(self, revision: Revision) -> None:
        """The probabilities of the features that are to be drawn.

        Raises:
            UsageError: some are no probabilities, or add up to more than 1.
        """
        names = band_classes(revision)
        paths = [json_path(self.columns.get(name, PREFIX + name)) for name in names]
        revision.connection.execute(_PROBABILITIES.read_text(), {"names": names, "paths": paths})
        unfit = revision.fetch_rows(_UNFIT)
        if unfit:
            told = ", ".join(
                f"{name} {text}" for name, text in zip(names, unfit[0][1], strict=True) if text is not None
            )
            raise UsageError(
                f"feature {quote_names([row[0] for row in unfit])}: probabilities go from 0 to 1 and add up to 1 at most, "
                f"and '{unfit[0][0]}' has {told}: correct them in the file that it came from"
            )

    def drawing(self, form: dict[str, Any]) -> SoftDrawing:
        """See `SoftDrawing`."""
        from geographer.operations.label.rendering.probabilities import SoftDrawing

        bands = form["bands"]
        first = bands[0] if self.background_band else None
        return SoftDrawing(tuple(bands[1:] if self.background_band else bands), first, self.combine, self.drawn_width())

"""Recipe of probability labels: for each class, the probability that a pixel belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from geographer.base.errors import NotFoundError, UsageError, quote_names, quote_objects
from geographer.operations.label.base import LabelRecipe, list_band_classes, stage_feature_drawing
from geographer.planning.user_columns import PROBABILITY_PREFIX
from geographer.storage.database.connection import run_script
from geographer.storage.queries.revision import make_json_path

if TYPE_CHECKING:
    from geographer.operations.label.rendering.probabilities import ProbabilityRenderer
    from geographer.storage.queries.revision import Revision

_PROBABILITIES: Final = Path(__file__).with_name("feature_probabilities.sql")
_INVALID_PROBABILITIES: Final = """
    SELECT feature_id, texts FROM feature_probability
    WHERE NOT list_bool_and([coalesce(p BETWEEN 0 AND 1, false) for p in probabilities])
       OR list_sum(probabilities) > 1.000001
    ORDER BY feature_id
"""
_BACKGROUND: Final = "SELECT coalesce(max(class) FILTER (value = 0), 'background') FROM classes"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelProbabilities(LabelRecipe):
    """A float32 band of probabilities for each class with a value above 0, in order of value, named after the class.

    A feature whose probabilities are all null belongs to its class with probability 1.

    Attributes:
        columns: The column of features with the probabilities of a class, if it is not `prob_of_class_<class>`.
        background_band: Add a first band: 1 minus the sum of the others.
        combine: How to combine objects that overlap; see `ProbabilityRenderer`.
    """

    kind: ClassVar[str] = "label soft"

    columns: dict[str, str] = field(default_factory=dict)
    background_band: bool = False
    combine: Literal["mean", "max"] = "mean"

    def determine_settings(self, revision: Revision) -> dict[str, Any]:
        """Return the names of the bands.

        Raises:
            NotFoundError: `columns` names a class or a column that does not exist.
        """
        classes = list_band_classes(revision)
        self._validate_columns(revision, classes)
        background = [revision.fetch_value(_BACKGROUND)] if self.background_band else []
        return {"bands": background + classes}

    def _validate_columns(self, revision: Revision, classes: list[str]) -> None:
        """Reject unknown classes and columns in a new recipe; an update ignores the column of a removed class."""
        if revision.fetch_value("SELECT 1 FROM recipes WHERE name = $name", {"name": self.name}):
            return
        if unknown := sorted(self.columns.keys() - set(classes)):
            raise NotFoundError(
                f"{quote_objects('class', unknown)} with a value above 0 not found. "
                f"The classes are {quote_names(classes, 20) or 'none'}."
            )
        columns = revision.list_columns("features")
        if unknown := sorted(set(self.columns.values()) - set(columns)):
            raise NotFoundError(
                f"{quote_objects('column', unknown)} of features not found. The columns are {quote_names(columns, 20)}."
            )

    def stage_feature_columns(self, revision: Revision) -> None:
        """Stage the probabilities of the features to draw.

        Raises:
            UsageError: a probability is not from 0 to 1, or the sum of a feature exceeds 1.
        """
        names = list_band_classes(revision)
        paths = [make_json_path(self.columns.get(name, PROBABILITY_PREFIX + name)) for name in names]
        run_script(revision.connection, _PROBABILITIES.read_text(), {"classes": names, "paths": paths})
        if invalid := revision.fetch_rows(_INVALID_PROBABILITIES):
            feature_id, texts = invalid[0]
            values = ", ".join(f"{name} {text}" for name, text in zip(names, texts, strict=True) if text is not None)
            raise UsageError(
                f"invalid probabilities of {quote_objects('feature', [row[0] for row in invalid])}: '{feature_id}' has "
                f"{values}. Correct them in the source file: each must be from 0 to 1, and their sum at most 1."
            )
        stage_feature_drawing(revision, "SELECT feature_id, false AS ignored, probabilities FROM feature_probability")

    def make_renderer(self, settings: dict[str, Any]) -> ProbabilityRenderer:
        """Return the renderer that draws the bands."""
        from geographer.operations.label.rendering.probabilities import ProbabilityRenderer

        background, *classes = settings["bands"] if self.background_band else (None, *settings["bands"])
        return ProbabilityRenderer(tuple(classes), background, self.combine, self.parse_width())

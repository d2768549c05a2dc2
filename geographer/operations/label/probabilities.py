"""`label probabilities`: for each class, the probability that a pixel belongs to it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from geographer.base.errors import NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.parameters import Parameter
from geographer.operations.label.base import LabelRecipe, list_band_classes, stage_feature_drawing
from geographer.operations.label.events import SUBPIXEL, make_payload_rules
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.planning.user_columns import PROBABILITY_PREFIX
from geographer.storage.database.connection import run_script
from geographer.storage.events.row_tables import make_json_path
from geographer.storage.queries.revision import Revision

logger = logging.getLogger(__name__)

_PROBABILITIES: Final = Path(__file__).with_name("feature_probabilities.sql")
_INVALID_PROBABILITIES: Final = """
    SELECT feature_id, texts FROM feature_probability
    WHERE NOT list_bool_and([coalesce(p BETWEEN 0 AND 1, false) for p in probabilities])
       OR list_sum(probabilities) > 1.000001
    ORDER BY feature_id
"""
_VALUE_COUNTS: Final = (
    "SELECT number, count(texts[number]) FROM feature_probability, range(1, $count + 1) AS numbers(number) "
    "GROUP BY number ORDER BY number"
)
_BACKGROUND: Final = "SELECT coalesce(max(class) FILTER (value = 0), 'background') FROM classes"


class LabelProbabilities(LabelRecipe, kw_only=True, frozen=True):
    """Make a raster with one band of probabilities per class, from columns of the features.

    There is a float32 band for each class with a value above 0, in order of value, named after the class. The columns
    `prob_of_class_<class>` hold a feature's probabilities; if it has some, the missing ones are 0. A feature without
    any has probability 1 for its own class. All classes are 0 where features of the background class lie.
    """

    kind: ClassVar[str] = "label soft"
    renderer: ClassVar[str] = "probabilities:render_probabilities"
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules("labels", "bands", notes=(SUBPIXEL,))
    example: ClassVar[str] = "label probabilities soft --collection chips"

    columns: Annotated[
        Mapping[str, str],
        Parameter(
            "The column that holds the probability of a class.",
            *("CLASS=COLUMN", "prob_of_class_CLASS", "--probability"),
            cli="pairs",
            schema={"type": "object", "additionalProperties": {"type": "string"}},
        ),
    ] = {}
    background_band: Annotated[
        bool, Parameter("Add a first band: 1 minus the sum of the classes, clipped to 0 and 1.")
    ] = False
    combine: Annotated[
        Literal["mean", "max"],
        Parameter("How to combine the probabilities of overlapping objects, whatever their order."),
    ] = "mean"

    def determine_settings(self, revision: Revision) -> LabelSettings:
        """Return the names of the bands; raise `NotFoundError` if `columns` names an unknown class or column."""
        classes, columns = list_band_classes(revision), revision.list_columns("features")
        # An update ignores the column of a removed class.
        is_changed = bool(self.columns) and self.is_changed(revision)
        if is_changed and (unknown := sorted(self.columns.keys() - set(classes))):
            names = quote_names(classes, 20) or "none"
            message = f"{quote_objects('class', unknown)} with a value above 0 not found. The classes are {names}."
            raise NotFoundError(message)
        if is_changed and (unknown := sorted(set(self.columns.values()) - set(columns))):
            names = quote_names(columns, 20)
            raise NotFoundError(f"{quote_objects('column', unknown)} of features not found. The columns are {names}.")
        background = [revision.fetch_value(_BACKGROUND)] if self.background_band else []
        return LabelSettings(bands=background + classes)

    def stage_feature_columns(self, revision: Revision) -> None:
        """Stage the probabilities; raise `UsageError` if one is not from 0 to 1, or the sum of a feature exceeds 1."""
        names = list_band_classes(revision)
        columns = [self.columns.get(name, PROBABILITY_PREFIX + name) for name in names]
        paths = [make_json_path(column) for column in columns]
        run_script(revision.connection, _PROBABILITIES.read_text(), {"classes": names, "paths": paths})
        counts = revision.fetch_rows(_VALUE_COUNTS, {"count": len(columns)})
        if lacking := [columns[number - 1] for number, count in counts if not count]:
            effect = "each counts as certain of its class"
            if len(lacking) < len(columns):
                effect = "a feature with other probabilities has probability 0 there"
            logger.warning("no feature has a value in the %s: %s", quote_objects("column", lacking), effect)
        if invalid := revision.fetch_rows(_INVALID_PROBABILITIES):
            feature_id, texts = invalid[0]
            values = ", ".join(f"{name} {text}" for name, text in zip(names, texts, strict=True) if text is not None)
            raise UsageError(
                f"invalid probabilities of {quote_objects('feature', [row[0] for row in invalid])}: '{feature_id}' has "
                f"{values}. Correct them in the source file: each must be from 0 to 1, and their sum at most 1."
            )
        stage_feature_drawing(revision, "SELECT feature_id, false AS ignored, probabilities FROM feature_probability")

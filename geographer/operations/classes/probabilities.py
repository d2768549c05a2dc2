"""Class probabilities: the feature columns `prob_of_class_<class>`, and the event that assigns the likeliest class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import NotFoundError, UsageError, quote_names, quote_objects
from geographer.planning.user_columns import PROBABILITY_PREFIX
from geographer.storage.database.connection import run_script
from geographer.storage.events import EventDraft

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision

_PROBABILITY_VALUES: Final = Path(__file__).with_name("probability_values.sql")
_ARGMAX_CLASS: Final = Path(__file__).with_name("argmax_class.sql")


def plan_hardening(revision: Revision, threshold: float | None, request: dict[str, Any]) -> EventDraft:
    """Plan the `classes_hardened` event.

    Raises:
        UsageError: The threshold or a value is not a probability.
        NotFoundError: There are no probability columns, or one belongs to an unknown class.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"invalid --threshold {threshold:g}. Use a number from 0 to 1.")
    values = dict(revision.fetch_rows("SELECT class, value FROM classes"))
    columns = list_probability_columns(revision)
    if not columns:
        raise NotFoundError(f"the features have no column {PROBABILITY_PREFIX}<class>. Add features that have them.")
    classes = [column.removeprefix(PROBABILITY_PREFIX) for column in columns]
    unknown = [column for column, name in zip(columns, classes, strict=True) if name not in values]
    if unknown:
        raise NotFoundError(
            f"no class for the {quote_objects('column', unknown)}; the dataset has {quote_names([*values])}. "
            "Add classes with: geographer add classes"
        )
    stage_probabilities(revision, columns)
    class_values = [values[name] for name in classes]
    stage_table(revision, "probability_class", {"name": columns, "class": classes, "value": class_values})
    run_script(revision.connection, _ARGMAX_CLASS.read_text(), {"threshold": threshold})
    count = revision.fetch_value("SELECT count(*) FROM hardened_feature")
    rows = {"feature_change": create_feature_row_view(revision, "hardened_feature")} if count else {}
    return EventDraft("classes_hardened", {"request": request, "features": count}, rows)


def list_probability_columns(revision: Revision) -> list[str]:
    """Return the sorted names of the features' probability columns."""
    columns = revision.list_columns("features")
    return sorted(name for name in columns if name.startswith(PROBABILITY_PREFIX) and name != PROBABILITY_PREFIX)


def stage_probabilities(revision: Revision, columns: list[str]) -> None:
    """Make the temp table `class_probability` (feature_key, name, text, probability) of these columns.

    Raises:
        UsageError: A value is not a finite number.
    """
    pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in columns]
    stage_table(revision, "probability_column", {"name": columns, "pointer": pointers})
    run_script(revision.connection, _PROBABILITY_VALUES.read_text())
    invalid = revision.fetch_rows(
        "SELECT name, feature_id, text FROM class_probability "
        "JOIN (SELECT feature_key, feature_id FROM current_feature) "
        "USING (feature_key) WHERE probability IS NULL OR NOT isfinite(probability) ORDER BY name, feature_key LIMIT 1"
    )
    if invalid:
        name, feature_id, text = invalid[0]
        raise UsageError(f"column '{name}' of feature '{feature_id}' has the invalid probability '{text}'. Correct it.")


def stage_table(revision: Revision, name: str, columns: dict[str, list[Any]]) -> None:
    """Make a temp table from columns. It outlives the planning, because appending the event reads views of it."""
    import pyarrow as pa

    types = {"value": pa.int32(), "is_changed": pa.bool_(), "was_object": pa.bool_(), "is_object": pa.bool_()}
    table = pa.table({column: pa.array(values, types.get(column, pa.string())) for column, values in columns.items()})
    revision.connection.register("staged_columns", table)
    revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM staged_columns")
    revision.connection.unregister("staged_columns")


def create_feature_row_view(revision: Revision, table: str) -> str:
    """Create a view of a staged table in order of addition, for the log; return the view's name."""
    revision.connection.execute(
        f"CREATE OR REPLACE TEMP VIEW reclassified_feature AS FROM {table} ORDER BY feature_key"
    )
    return "reclassified_feature"

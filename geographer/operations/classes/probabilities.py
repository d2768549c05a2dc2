"""Class probabilities: the feature columns `prob_of_class_<class>`, and the event that assigns the likeliest class."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Final

from geographer.base.errors import NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.parameters import Parameter
from geographer.operations.classes.events import ClassesHardened
from geographer.planning.class_values import read_class_values
from geographer.planning.user_columns import PROBABILITY_PREFIX
from geographer.storage.database.connection import register_table, run_script
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

_PROBABILITY_VALUES: Final = Path(__file__).with_name("probability_values.sql")
_ARGMAX_CLASS: Final = Path(__file__).with_name("argmax_class.sql")


class SetClassesFromProbabilities(Request, frozen=True):
    """Give each feature the class with the highest probability, read from its columns prob_of_class_<class>.

    The columns are kept. The smaller class value wins ties. A feature without probabilities keeps its class.
    """

    event: ClassVar[type[ClassesHardened]] = ClassesHardened
    example = "classes from-probabilities --threshold 0.5"

    threshold: Annotated[
        float | None,
        Parameter(
            "From 0 to 1. Features below it get the background class, or keep their class if there is no background.",
            *("PROBABILITY", "no threshold"),
            minimum=0,
            maximum=1,
        ),
    ] = None

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the new classes.

        Raises:
            UsageError: A value is not a probability.
            NotFoundError: There are no probability columns, or one belongs to an unknown class.
        """
        values = read_class_values(revision)
        classes = {column: column.removeprefix(PROBABILITY_PREFIX) for column in list_probability_columns(revision)}
        if not classes:
            name = f"{PROBABILITY_PREFIX}<class>"
            raise NotFoundError(f"the features have no column {name}. Add features that have them.")
        if unknown := [column for column, name in classes.items() if name not in values]:
            raise NotFoundError(
                f"no class for the {quote_objects('column', unknown)}; the dataset has {quote_names([*values])}. "
                "Add classes with: geographer add classes"
            )
        stage_probabilities(revision, [*classes])
        names, class_values = [*classes.values()], [values[name] for name in classes.values()]
        stage_table(revision, "probability_class", {"name": [*classes], "class": names, "value": class_values})
        run_script(revision.connection, _ARGMAX_CLASS.read_text(), {"threshold": self.threshold})
        count = revision.fetch_value("SELECT count(*) FROM hardened_feature")
        return Change(ClassesHardened(features=count), {"feature_change": "hardened_feature"} if count else {})


def list_probability_columns(revision: Revision) -> list[str]:
    """Return the sorted names of the features' probability columns."""
    columns = revision.list_columns("features")
    return sorted(name for name in columns if name.startswith(PROBABILITY_PREFIX) and name != PROBABILITY_PREFIX)


def stage_probabilities(revision: Revision, columns: Sequence[str]) -> None:
    """Make the temp table `class_probability` of these columns; raise `UsageError` if a value is no finite number."""
    pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in columns]
    stage_table(revision, "probability_column", {"name": columns, "pointer": pointers})
    run_script(revision.connection, _PROBABILITY_VALUES.read_text())
    query = (
        "SELECT name, feature_id, text FROM class_probability "
        "JOIN (SELECT feature_key, feature_id FROM current_feature) USING (feature_key) "
        "WHERE probability IS NULL OR NOT isfinite(probability) ORDER BY name, feature_key LIMIT 1"
    )
    for name, feature_id, text in revision.fetch_rows(query):
        raise UsageError(f"column '{name}' of feature '{feature_id}' has the invalid probability '{text}'. Correct it.")


def stage_table(revision: Revision, name: str, columns: Mapping[str, Sequence[object]]) -> None:
    """Make a temp table from columns. It outlives the planning, because appending the event reads views of it."""
    import pyarrow as pa

    types = {"value": pa.int32(), "is_changed": pa.bool_(), "was_object": pa.bool_(), "is_object": pa.bool_()}
    table = pa.table({column: pa.array(values, types.get(column, pa.string())) for column, values in columns.items()})
    with register_table(revision.connection, "staged_columns", table):
        revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM staged_columns")

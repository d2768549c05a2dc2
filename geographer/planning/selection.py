"""Selections: the features and rasters that a recipe uses, by an SQL expression or a selector plugin."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain, compress
from typing import Any, Final, Literal

from msgspec import UNSET, UnsetType

from geographer.base.errors import UsageError, quote_names
from geographer.base.plugins import PluginKind, PluginRef, plugin_version
from geographer.planning.recipe_events import SelectorRun, SelectorRuns
from geographer.storage.database.connection import quote_identifier
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.empty_selection import describe_empty_selection
from geographer.storage.queries.read_tables import read_table
from geographer.storage.queries.revision import Revision
from geographer.storage.queries.selection import TableFilter
from geographer.storage.queries.table import Table

SelectorFunction = Callable[[Any], Iterable[Any]]
"""Takes the `Table` of a revision's features or rasters (geometry as WKB); returns their ids, or a boolean a row."""

Selection = str | SelectorFunction | PluginRef | None
"""An SQL expression over the columns; a function that takes the table and returns ids or a mask; `@` and a name."""

SELECTORS: Final = PluginKind("selector", "geographer.selectors")

Subject = Literal["feature", "raster"]
SelectionSpec = str | PluginRef | None
"""An SQL expression over the columns, a selector, or None for all rows."""


def parse_selection(selection: Selection | Mapping[str, str]) -> SelectionSpec:
    """Return a selection from SQL text, `@` and the name of a selector, a selector function, or the log's record."""
    if isinstance(selection, str) and selection.startswith("@"):
        return SELECTORS.resolve_plugin(selection[1:])
    return selection if selection is None or isinstance(selection, str) else SELECTORS.parse_plugin(selection)


class Selections:
    """The selections of one run of a recipe, staged as the temp tables `filtered_feature` and `filtered_raster`."""

    def __init__(self, revision: Revision, recipe: str) -> None:
        self._revision, self._recipe = revision, recipe
        self._selected_ids: dict[str, list[str]] = {}
        self._empty: dict[str, str] = {}
        self._selector_runs: dict[str, SelectorRun] = {}

    def stage_selection(
        self, subject: Subject, selection: Selection, future_columns: Mapping[str, str] | None = None
    ) -> None:
        """Make the temp table `filtered_<subject>` of ids.

        An expression may use `future_columns` (name to type), which the recipe adds later: they are null until then.

        Raises:
            UsageError: The expression or the selector's result is invalid.
            PluginError: Importing a selector fails, or it has never run and is not installed.
        """
        selection, column, table = parse_selection(selection), f"{subject}_id", f"{subject}s"
        option = "--where" if subject == "feature" else "--rasters-where"
        existing = {name.lower() for name in self._revision.list_columns(table)}
        missing = {name: kind for name, kind in (future_columns or {}).items() if name not in existing}
        if isinstance(selection, PluginRef):
            ids = self._run_selector(subject, selection)
            rows = make_row_table("recipe_input", {"recipe": [self._recipe] * len(ids), "object_id": ids})
            self._revision.connection.register("selected_id", rows)
            condition = f"{column}::VARCHAR IN (SELECT object_id FROM selected_id)"  # noqa: S608
        else:
            condition = self._revision.validate_filter(table, selection, option, missing)
        nulls = "".join(f", NULL::{kind} AS {quote_identifier(name)}" for name, kind in missing.items())
        with translate_sql_errors(selection if isinstance(selection, str) else None, option):
            self._revision.connection.execute(
                f"CREATE OR REPLACE TEMP TABLE {quote_identifier('filtered_' + subject)} AS "  # noqa: S608
                f"SELECT {column}::VARCHAR AS {column} FROM (SELECT *{nulls} FROM {table}) WHERE {condition}"
            )

        if isinstance(selection, str) and not self._revision.fetch_rows(f"FROM filtered_{subject} LIMIT 1"):
            self._empty[subject] = describe_empty_selection(self._revision, table, selection, option) or ""

    def to_rows(self) -> dict[str, Any]:
        """Return the ids that selectors selected, as rows of the log's `recipe_input`."""
        subjects = [subject for subject, ids in self._selected_ids.items() for _ in ids]
        selected = [*chain.from_iterable(self._selected_ids.values())]
        columns = {"recipe": [self._recipe] * len(selected), "subject": subjects, "object_id": selected}
        return {"recipe_input": make_row_table("recipe_input", columns)} if selected else {}

    def list_runs(self) -> SelectorRuns | UnsetType:
        """Return the selectors that ran, with versions and counts, for the event's payload."""
        return SelectorRuns(**self._selector_runs) if self._selector_runs else UNSET

    def describes_empty(self, subject: Subject) -> bool:
        """Return whether `list_warnings` says why no object of a subject is selected."""
        return bool(self._empty.get(subject))

    def list_warnings(self) -> list[str]:
        """Return a warning for each selector whose last result was reused, and each expression that selects nothing."""
        reused = [run.selector for run in self._selector_runs.values() if not run.ran]
        reason = "cannot be imported; the ids that it selected in its last run are used"
        return [*(f"selector '{selector}' {reason}" for selector in reused), *filter(None, self._empty.values())]

    def _run_selector(self, subject: Subject, selector: PluginRef) -> list[str]:
        """Return the ids that the selector selects, or selected in its last run if it is not installed."""
        select = selector.load_plugin()
        if select is None:
            ids = self._read_last_selected(subject, selector)
        else:
            table = read_table(self._revision, f"{subject}s", TableFilter())
            ids = _extract_ids(select(table), table, subject, selector)
        self._selected_ids[subject] = ids
        version = selector.version if select is None else plugin_version(select)
        self._selector_runs[subject] = SelectorRun(selector.name, version, len(ids), select is not None)
        return ids

    def _read_last_selected(self, subject: str, selector: PluginRef) -> list[str]:
        if not self._revision.fetch_value("SELECT count(*) FROM recipes WHERE name = $name", {"name": self._recipe}):
            selector.require_plugin()
        conditions = "recipe = $recipe AND subject = $subject"
        query = f"SELECT DISTINCT object_id FROM selected_input WHERE {conditions} ORDER BY ALL"  # noqa: S608
        return [row[0] for row in self._revision.fetch_rows(query, {"recipe": self._recipe, "subject": subject})]


def _extract_ids(result: Any, table: Table, subject: Subject, selector: PluginRef) -> list[str]:
    """Return the sorted ids of a selector's result: ids of the table, or a boolean mask of it."""
    result = getattr(result, "to_pylist", getattr(result, "tolist", lambda: result))()
    if not isinstance(result, Iterable) or isinstance(result, str | bytes | dict):
        raise UsageError(f"selector '{selector.name}' returned {result!r}. Return ids, or a boolean for each row.")
    values, existing = list(result), [str(object_id) for object_id in table[f"{subject}_id"].to_pylist()]
    if values and all(isinstance(value, bool) for value in values):
        if len(values) != len(table):
            raise UsageError(
                f"selector '{selector.name}' returned a mask of length {len(values):,} for a table of length "
                f"{len(table):,}. Return one boolean for each row."
            )
        values = list(compress(existing, values))
    ids = {str(value) for value in values}
    if unknown := sorted(ids.difference(existing)):
        raise UsageError(
            f"selector '{selector.name}' selected {quote_names(unknown)}, but the dataset has no such {subject}. "
            "Return ids of the given table."
        )
    return sorted(ids)

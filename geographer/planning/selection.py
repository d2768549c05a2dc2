"""Selections: the features and rasters that a recipe uses, by an SQL expression or a selector plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.errors import UsageError, quote_names
from geographer.base.plugins import PluginKind, PluginRef, plugin_version
from geographer.storage.database.connection import quote_identifier
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.log.row_tables import make_row_table
from geographer.storage.queries.read_tables import TableFilter, read_table

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision
    from geographer.storage.queries.table import Table

SelectorFunction = Callable[["Table"], Iterable[Any]]
"""Takes the table of all features or rasters of a revision (geometry as WKB); returns the selected ids, or a boolean a
row."""

SELECTORS: Final = PluginKind("selector", "geographer.selectors")

Subject = Literal["feature", "raster"]
SelectionSpec = str | PluginRef | None
"""An SQL expression over the columns, a selector, or None for all rows."""


def parse_selection(selection: str | SelectorFunction | PluginRef | None) -> SelectionSpec:
    """Return a selection from SQL text, `@` and the name of a selector, or a selector function."""
    if isinstance(selection, str):
        return SELECTORS.resolve_plugin(selection[1:]) if selection.startswith("@") else selection
    return selection if selection is None or isinstance(selection, PluginRef) else SELECTORS.resolve_plugin(selection)


class Selections:
    """The selections of one run of a recipe, staged as the temp tables `filtered_feature` and `filtered_raster`."""

    def __init__(self, revision: Revision, recipe: str) -> None:
        self._revision, self._recipe = revision, recipe
        self._selected_ids: dict[str, list[str]] = {}
        self._selector_runs: dict[str, Any] = {}

    def stage_selection(
        self, subject: Subject, selection: SelectionSpec, future_columns: Mapping[str, str] | None = None
    ) -> None:
        """Make the temp table `filtered_<subject>` of ids.

        An expression may use `future_columns` (name to type), which the recipe adds later: they are null until then.

        Raises:
            UsageError: The expression or the selector's result is invalid.
            PluginError: A selector that has never run cannot be imported.
        """
        column, table = f"{subject}_id", f"{subject}s"
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

    def to_rows(self) -> dict[str, Any]:
        """Return the ids that selectors selected, as rows of the log's `recipe_input`."""
        selected = [(subject, object_id) for subject, ids in self._selected_ids.items() for object_id in ids]
        if not selected:
            return {}
        subjects, ids = map(list, zip(*selected, strict=True))
        columns = {"recipe": [self._recipe] * len(selected), "subject": subjects, "object_id": ids}
        return {"recipe_input": make_row_table("recipe_input", columns)}

    def to_summary(self) -> dict[str, Any]:
        """Return the selectors that ran, with versions and counts, for the event's payload."""
        return {"selectors": self._selector_runs} if self._selector_runs else {}

    def list_warnings(self) -> list[str]:
        """Return a warning for each selector whose last result was reused."""
        return [
            f"selector '{run['selector']}' cannot be imported; the ids that it selected in its last run are used"
            for run in self._selector_runs.values()
            if not run["ran"]
        ]

    def _run_selector(self, subject: Subject, selector: PluginRef) -> list[str]:
        """Return the ids that the selector selects, or selected in its last run if it cannot be imported."""
        select = selector.load_plugin()
        if select is None:
            ids = self._read_last_selected(subject, selector)
        else:
            table = read_table(self._revision, f"{subject}s", TableFilter())
            ids = _extract_ids(select(table), table, subject, selector)
        self._selected_ids[subject] = ids
        ran = {"version": plugin_version(select)} if select is not None else {}
        self._selector_runs[subject] = {**selector.to_json(), **ran, "chosen": len(ids), "ran": select is not None}
        return ids

    def _read_last_selected(self, subject: str, selector: PluginRef) -> list[str]:
        if not self._revision.fetch_value("SELECT count(*) FROM recipes WHERE name = $name", {"name": self._recipe}):
            selector.require_plugin()
        rows = self._revision.fetch_rows(
            "SELECT DISTINCT object_id FROM selected_input WHERE recipe = $recipe AND subject = $subject ORDER BY ALL",
            {"recipe": self._recipe, "subject": subject},
        )
        return [row[0] for row in rows]


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
    unknown = sorted(ids.difference(existing))
    if unknown:
        raise UsageError(
            f"selector '{selector.name}' selected {quote_names(unknown)}, but the dataset has no such {subject}. "
            "Return ids of the given table."
        )
    return sorted(ids)

"""Which features and rasters a recipe takes: an SQL expression, or a selector of one's own, with what it chose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.errors import PluginError, UsageError, quote_names
from geographer.base.plugins import Plugin, plugin_version
from geographer.storage.database.connection import quote_identifier
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.log.row_tables import make_row_table
from geographer.storage.queries.tables import TableFilter, read_table

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision
    from geographer.storage.queries.table import Table

SelectorFunction = Callable[["Table"], Iterable[Any]]
"""Takes the table of all features, or rasters, of a revision (Arrow, geometry as WKB), and answers the ids of those
that it chooses, or a mask: true or false for each row."""

SELECTORS: Final = "geographer.selectors"
"""The group of entry points that a selector can be named by."""

_LAST_CHOSEN: Final = (
    "SELECT DISTINCT object_id FROM chosen_input WHERE recipe = $recipe AND subject = $subject ORDER BY object_id"
)
_PLURALS: Final = {"feature": "features", "raster": "rasters"}


@dataclass(frozen=True, slots=True)
class Selector(Plugin):
    """A selector of one's own, by its name and version."""

    @classmethod
    def of(cls, select: SelectorFunction | str) -> Selector:
        """The selector that is a function, or that is named by an entry point or as `module:function`."""
        return cls(*cls.resolve(select, SELECTORS))

    def as_json(self) -> dict[str, str]:
        """What the log keeps."""
        return {"selector": self.name, "version": self.version}


SelectionSpec = str | Selector | None
"""An SQL expression over the columns, a selector, or all."""


def parse_selection(given: str | SelectorFunction | Selector | None) -> SelectionSpec:
    """A choice as people give it: SQL text, a function, or `@` and the name of a selector."""
    if isinstance(given, str):
        return Selector.of(given[1:]) if given.startswith("@") else given
    return given if given is None or isinstance(given, Selector) else Selector.of(given)


class Selections:
    """What one run of a recipe chooses. Each choice becomes a table `chosen_feature` or `chosen_raster` of ids."""

    def __init__(self, revision: Revision, recipe: str) -> None:
        self._revision, self._recipe = revision, recipe
        self._chosen: dict[str, list[str]] = {}
        self._told: dict[str, Any] = {}

    def stage_selection(
        self, subject: Literal["feature", "raster"], choice: SelectionSpec, to_come: Mapping[str, str] | None = None
    ) -> None:
        """Make the table `chosen_<subject>`.

        Args:
            subject: Of what.
            choice: Which ones.
            to_come: Columns, with their types, that the recipe brings: an expression may name them, and until they are
                there they are null.

        Raises:
            UsageError, NotFoundError: the expression can't be used, or the selector can't be had.
        """
        column, table = f"{subject}_id", _PLURALS[subject]
        option = "--where" if subject == "feature" else "--rasters-where"
        here = {name.lower() for name in self._revision.list_columns(table)}
        absent = {name: kind for name, kind in (to_come or {}).items() if name not in here}
        if isinstance(choice, Selector):
            ids = self._selected(subject, choice)
            rows = make_row_table("recipe_input", {"recipe": [self._recipe] * len(ids), "object_id": ids})
            self._revision.connection.register("selected_id", rows)
            condition = f"{column}::VARCHAR IN (SELECT object_id FROM selected_id)"  # noqa: S608
        else:
            condition = self._revision.validate_filter(table, choice, option, absent)
        nothing = "".join(f", NULL::{kind} AS {quote_identifier(name)}" for name, kind in absent.items())
        with translate_sql_errors(choice if isinstance(choice, str) else None, option):
            self._revision.connection.execute(
                f"CREATE OR REPLACE TEMP TABLE {quote_identifier('chosen_' + subject)} AS "  # noqa: S608
                f"SELECT {column}::VARCHAR AS {column} FROM (SELECT *{nothing} FROM {table}) WHERE {condition}"
            )

    def to_rows(self) -> dict[str, Any]:
        """What selectors chose, as rows of the log."""
        chosen = [(subject, one) for subject, ids in self._chosen.items() for one in ids]
        if not chosen:
            return {}
        subjects, ids = zip(*chosen, strict=True)
        columns = {"recipe": [self._recipe] * len(chosen), "subject": list(subjects), "object_id": list(ids)}
        return {"recipe_input": make_row_table("recipe_input", columns)}

    def to_summary(self) -> dict[str, Any]:
        """What an event's payload says of them."""
        return {"selectors": self._told} if self._told else {}

    def list_warnings(self) -> list[str]:
        """What a person should know of them."""
        return [
            f"selector '{told['selector']}' can't be imported here: what it chose when it last ran counts"
            for told in self._told.values()
            if not told["ran"]
        ]

    def _selected(self, subject: Literal["feature", "raster"], selector: Selector) -> list[str]:
        """What the selector chooses now; or, where it can't be imported, what it chose when it last ran."""
        select = selector.load(SELECTORS)
        if select is None:
            ids = self._last_time(subject, selector)
        else:
            table = read_table(self._revision, _PLURALS[subject], TableFilter())
            ids = self._known(subject, selector, _ids(select(table), table, f"{subject}_id", selector))
        self._chosen[subject] = ids
        ran = {"version": plugin_version(select)} if select is not None else {}
        self._told[subject] = {**selector.as_json(), **ran, "chosen": len(ids), "ran": select is not None}
        return ids

    def _known(self, subject: str, selector: Selector, ids: list[str]) -> list[str]:
        known = {row[0] for row in self._revision.fetch_rows(f"SELECT {subject}_id FROM {subject}_now")}  # noqa: S608
        unknown = [one for one in ids if one not in known]
        if unknown:
            raise UsageError(
                f"selector '{selector.name}' chose {quote_names(unknown)}, which is no {subject} of the dataset: "
                f"let it answer ids of the table that it was given"
            )
        return ids

    def _last_time(self, subject: str, selector: Selector) -> list[str]:
        if not self._revision.fetch_value("SELECT count(*) FROM recipes WHERE name = $name", {"name": self._recipe}):
            raise PluginError(f"selector '{selector.name}' can't be imported: install what has it")
        rows = self._revision.fetch_rows(_LAST_CHOSEN, {"recipe": self._recipe, "subject": subject})
        return [row[0] for row in rows]


def _ids(answer: Any, table: Table, column: str, selector: Selector) -> list[str]:
    """The ids that a selector answered, or of which it answered in a mask as long as its table; sorted."""
    answer = getattr(answer, "to_pylist", getattr(answer, "tolist", lambda: answer))()
    if not isinstance(answer, Iterable) or isinstance(answer, str | bytes | dict):
        raise UsageError(f"selector '{selector.name}' answered {answer!r}: let it answer ids, or a mask of the table")
    values = list(answer)
    if values and all(isinstance(value, bool) for value in values):
        if len(values) != len(table):
            raise UsageError(
                f"selector '{selector.name}' answered a mask of {len(values):,} for {len(table):,} rows: one each"
            )
        values = [one for one, taken in zip(table[column].to_pylist(), values, strict=True) if taken]
    return sorted({str(value) for value in values})

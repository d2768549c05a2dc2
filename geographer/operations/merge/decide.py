"""Decide which version of each object is taken: the sides' rows are compared by SQL, whatever their number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from geographer.operations.merge.contested import MergedRow
from geographer.operations.merge.label_files import LabelOfSide
from geographer.operations.merge.sides import MergeSides
from geographer.storage.database.connection import quote_identifier, register_table, run_script
from geographer.storage.events.row_tables import CORE_TABLES, KEY_COLUMNS, ROW_TABLES, list_column_types, make_row_table
from geographer.storage.log.branches import read_branch
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_COLUMNS: Final = {"feature_change": "class,", "raster_change": "recipe, parent_id, md5, sha256, crs,"}
"""The columns of rows, beside the keys, that deciding needs."""

_ADD_IS_CHIP: Final = """
ALTER TABLE decision_raster_change ADD COLUMN is_chip BOOLEAN DEFAULT false;
UPDATE decision_raster_change SET is_chip = true
FROM (SELECT raster_id FROM version_raster_change GROUP BY raster_id HAVING bool_and(parent_id IS NOT NULL)) AS chip
WHERE chip.raster_id = decision_raster_change.raster_id;
"""
_ADD_CHIPS: Final = """
INSERT INTO candidate_raster_change
SELECT raster_id FROM state.raster JOIN recipe_rule USING (recipe) ANTI JOIN candidate_raster_change USING (raster_id)
WHERE recipe_rule.rule = 'none' AND parent_id IS NOT NULL AND valid_from <= $common AND valid_to > $common
"""
_ADD_ASSIGNMENTS: Final = """
INSERT INTO candidate_split_change
SELECT split, raster_id FROM state.split ANTI JOIN candidate_split_change USING (split, raster_id)
WHERE raster_id IN (FROM absent_raster) AND valid_from <= $common AND valid_to > $common
"""


class Decisions:
    """The tables `decision_…`: an object that changed on a side, and the side whose version is taken."""

    def __init__(self, revision: Revision, sides: MergeSides) -> None:
        self._revision, self._sides = revision, sides
        self._staged: list[str] = []
        self._values = {"common": sides.common, "branch": read_branch(revision.connection), "bases": len(sides.bases)}

    def find_changed_tables(self) -> set[str]:
        """Return the row tables in which events of the sides have rows."""
        tables = [table for table in KEY_COLUMNS if table in CORE_TABLES]
        query = "(SELECT '{0}' FROM log.{0} SEMI JOIN side_event USING (event_key) LIMIT 1)"
        found = [query.format(table) for table in tables]
        return {table for (table,) in self._revision.fetch_rows(" UNION ALL ".join(found))}

    def stage_rules(self, rules: Mapping[str, str], removed: Sequence[str]) -> None:
        """Create `recipe_rule` and `merged_removal`: rules for objects of recipes, and rasters that users removed."""
        values = {"names": [*rules], "rules": [*rules.values()], "removed": [*removed]}
        self._run_sql(
            "CREATE OR REPLACE TEMP TABLE recipe_rule AS "
            "SELECT unnest($names::VARCHAR[]) AS recipe, unnest($rules::VARCHAR[]) AS rule;"
            "CREATE OR REPLACE TEMP TABLE merged_removal AS SELECT unnest($removed::VARCHAR[]) AS raster_id;",
            values,
        )

    def decide_declared(self, table: str) -> None:
        """Decide on the objects of a table that one parent at most changed."""
        self._staged.append(table)
        self._stage_side_rows(table)
        if table == "raster_change":
            self._run_sql(_ADD_CHIPS)
        self._stage_versions(table)
        self._stage_decision(table)
        if table == "raster_change":
            self._run_sql(_ADD_IS_CHIP)

    def apply_merged(self, table: str, rows: Sequence[MergedRow]) -> None:
        """Enter objects that both parents changed, and create `merged_…`: rows that neither of them has."""
        self._stage_merged(table, [row for row in rows if row.values is not None])
        if rows:
            (key,) = KEY_COLUMNS[table]
            columns = {"ids": [row.object_id for row in rows], "choices": [row.chosen for row in rows]}
            self._run_sql(
                f"UPDATE decision_{table} SET chosen = choice FROM (SELECT unnest($ids::VARCHAR[]) AS id, "  # noqa: S608
                f"unnest($choices::VARCHAR[]) AS choice) WHERE id = {quote_identifier(key)}",
                columns,
            )

    def decide_chips(self) -> None:
        """Decide on the rasters that recipes made: chips."""
        self._run_sql((_FOLDER / "chips.sql").read_text())
        while True:
            self._run_sql((_FOLDER / "chip_parents.sql").read_text())
            if not self._revision.fetch_rows("FROM orphan LIMIT 1"):
                break

    def has_absent_rasters(self) -> bool:
        """Return whether a raster that one side has is not in the result."""
        return bool(self._revision.fetch_rows("FROM absent_raster LIMIT 1"))

    def decide_splits(self) -> None:
        """Decide on assignments to parts."""
        self._staged.append("split_change")
        self._stage_side_rows("split_change")
        self._run_sql(_ADD_ASSIGNMENTS)
        self._stage_versions("split_change")
        self._stage_decision("split_change")
        self._run_sql((_FOLDER / "splits.sql").read_text())

    def stage_net_rows(self) -> dict[str, str]:
        """Create `net_…` and return the names of those that have rows, by row table."""
        template = (_FOLDER / "net_rows.sql").read_text()
        relations = {}
        for table in self._staged:
            if table not in ("class_change", "feature_change", "raster_change"):
                self._stage_merged(table, [])
            keys = KEY_COLUMNS[table]
            kept = {*keys, *(["value"] if table == "class_change" else [])}
            types = list_column_types(table)
            removed = [
                quote_identifier(name) if name in kept else f"NULL::{types[name]} AS {quote_identifier(name)}"
                for name in types
            ]
            names = {"columns": _join_names(types), "removed_columns": ", ".join(removed)}
            self._run_sql(template.format(table=table, keys=_join_names(keys), **names))
            if self._revision.fetch_rows(f"FROM net_{table} LIMIT 1"):
                relations[table] = f"net_{table}"
        return relations

    def decide_labels(self, collections: Mapping[str, str]) -> list[tuple[str, str]]:
        """Decide on labels, each with its objects; return added labels (name, raster id) that both sides changed.

        `collections` are those of added labels, by label: no recipe makes them again, and the later one is taken.
        """
        self._staged += ["label_change", "label_object_change"]
        for table in ("label_change", "label_object_change"):
            self._stage_side_rows(table)
        self._run_sql((_FOLDER / "label_groups.sql").read_text())
        for table in ("label_change", "label_object_change"):
            self._stage_versions(table)
            self._stage_decision(table)
        self._run_sql((_FOLDER / "label_versions.sql").read_text())
        self._stage_decision("label_group", "label_group", "label, raster_id")
        values = {"labels": [*collections], "collections": [*collections.values()]}
        contested = self._revision.fetch_rows((_FOLDER / "contested_labels.sql").read_text(), values)
        self._run_sql((_FOLDER / "labels.sql").read_text())
        return [(label, raster_id) for label, raster_id in contested]

    def find_lost_labels(self, unfit: Sequence[LabelOfSide]) -> list[tuple[str, str, str]]:
        """Return the labels (name, side, raster id) of files that sides added, and that the decisions leave out."""
        if not unfit:
            return []
        labels, names, collections = map(list, zip(*unfit, strict=True))
        values = {"labels": labels, "sides": names, "collections": collections}
        lost = self._revision.fetch_rows((_FOLDER / "lost_labels.sql").read_text(), values)
        return [(label, side, raster_id) for label, side, raster_id in lost]

    def find_renumbered_masks(
        self, values: Mapping[str, int], collections: Mapping[str, str]
    ) -> list[tuple[str, int, int, str, str, str]]:
        """Return masks of files, by label in `collections`, that were added with other `values` of these classes.

        Each has the class, its value, its new one, the label, the side and the raster id.
        """
        if not (values and collections):
            return []
        names = {"classes": [*values], "values": [*values.values()]}
        names |= {"labels": [*collections], "collections": [*collections.values()]}
        found = self._revision.fetch_rows((_FOLDER / "renumbered_masks.sql").read_text(), names)
        return [(*row,) for row in found]

    def _stage_side_rows(self, table: str) -> None:
        self._run_template("side_rows.sql", table)

    def _stage_versions(self, table: str) -> None:
        self._run_template("versions.sql", table)

    def _run_template(self, name: str, table: str) -> None:
        names = {"table": table, "kind": table.removesuffix("_change"), "keys": _join_names(KEY_COLUMNS[table])}
        self._run_sql((_FOLDER / name).read_text().format(**names, columns=_COLUMNS.get(table, "")))

    def _stage_decision(self, name: str, objects: str = "", keys: str = "") -> None:
        names = {"name": name, "objects": objects or f"candidate_{name}", "versions": f"version_{name}"}
        script = (_FOLDER / "decision.sql").read_text()
        self._run_sql(script.format(**names, keys=keys or _join_names(KEY_COLUMNS[name])))

    def _stage_merged(self, table: str, rows: Sequence[MergedRow]) -> None:
        """Create `merged_…`, empty without rows."""
        (key,) = KEY_COLUMNS[table] if rows else ("",)
        names = list(ROW_TABLES[table])
        columns = {name: [row.object_id if name == key else (row.values or {})[name] for row in rows] for name in names}
        with register_table(self._revision.connection, "merged_row", make_row_table(table, columns)):
            is_new = (
                f"(SELECT first_digest FROM decision_{table} AS d WHERE d.{key} = merged_row.{key})" if rows else "NULL"  # noqa: S608
            )
            self._run_sql(
                f"CREATE OR REPLACE TEMP TABLE merged_{table} AS "  # noqa: S608
                f"SELECT if({is_new} IS NULL, 'added', 'changed') AS change, {_join_names(names)} FROM merged_row"
            )

    def _run_sql(self, script: str, values: Mapping[str, object] | None = None) -> None:
        run_script(self._revision.connection, script, {**self._values, **(values or {})})


def _join_names(names: Sequence[str] | Mapping[str, str]) -> str:
    return ", ".join(map(quote_identifier, names))

"""Classes of an applied patch: distinct values, and a class for each feature."""

from collections.abc import Collection, Mapping

from geographer.base.errors import ConflictError, quote_objects
from geographer.diff.patch.model import PatchChange
from geographer.operations.apply.conflicts import make_conflict
from geographer.operations.apply.rows import AppliedRows, RowChange
from geographer.operations.apply.three_way import MergedObject, OnConflict
from geographer.planning.class_values import read_class_values
from geographer.storage.queries.revision import Revision


def resolve_class_values(revision: Revision, merged: list[MergedObject], on_conflict: OnConflict) -> list[MergedObject]:
    """Return the declared objects with distinct class values: the head may have given a value to another class."""
    final = read_class_values(revision)
    for item in merged:
        if item.change.table == "class_change":
            final.pop(item.change.key[0], None)
            if item.values is not None:
                final[item.change.key[0]] = item.values["value"]
    result = []
    for item in merged:
        if item.change.table != "class_change" or not item.is_taken or item.values is None:
            result.append(item)
            continue
        name, value = item.change.key[0], item.values["value"]
        owners = sorted(other for other, number in final.items() if number == value and other != name)
        if owners:
            free = max([*final.values(), value]) + 1
            conflict = make_conflict(item.change, "value", None, {"class": owners[0]}, value)
            if on_conflict == "theirs":
                change = PatchChange("class_change", (owners[0],), {"value": value}, {"value": free})
                result.append(MergedObject(change, {"value": value}, "clean", {"value": free}))
                final[owners[0]] = free
            else:
                item = item._replace(values={"value": free})
            item = item._replace(status="conflict", conflicts=(*item.conflicts, conflict))
        final[name] = item.values["value"] if item.values else value
        result.append(item)
    return result


def check_classes(revision: Revision, applied: AppliedRows) -> None:
    """Keep removed classes that features of the head have; raise if a taken feature has a class that does not exist."""
    classes = {*read_class_values(revision)}
    rows = {key[1][0]: row for key, row in applied.rows.items() if key[0] == "class_change"}
    changed = [key[1][0] for key in applied.rows if key[0] == "feature_change"]
    query = "SELECT DISTINCT class FROM current_feature WHERE feature_id NOT IN (SELECT unnest($ids::VARCHAR[]))"
    used = {name for (name,) in revision.fetch_rows(query, {"ids": changed})}
    if kept := sorted(name for name, row in rows.items() if row.change == "removed" and name in used):
        for name in kept:
            del applied.rows["class_change", (name,)]
        applied.warnings.append(f"{quote_objects('class', kept, 'is|are')} not removed: features here have it")
    removed = {name for name, row in rows.items() if row.change == "removed"}.difference(kept)
    classes = (classes | rows.keys()) - removed
    _require_distinct_values(read_class_values(revision), rows, removed)
    for (table, key), row in applied.rows.items():
        if table == "feature_change" and row.values and row.values["class"] not in classes:
            name = row.values["class"]
            raise ConflictError(
                f"feature '{key[0]}' has the class '{name}' in the patch, which the head no longer has. Add it again: "
                f"geographer add classes {name}"
            )


def _require_distinct_values(values: dict[str, int], rows: Mapping[str, RowChange], removed: Collection[str]) -> None:
    after = {**values, **{name: row.values["value"] for name, row in rows.items() if row.values}}
    names: dict[int, str] = {}
    for name in sorted(after.keys() - set(removed)):
        if other := names.get(after[name]):
            raise ConflictError(
                f"the classes '{other}' and '{name}' would both have the value {after[name]}. Give one of them another "
                "name here, or leave out its features: geographer classes remap"
            )
        names[after[name]] = name

"""Classes changed: combined, renamed, dropped, or made hard from soft ones, planned as the rows of one event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names
from geographer.planning.removed_rasters import make_removal_rows
from geographer.storage.database.connection import escape_literal, run_script
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from geographer.storage.queries.revision import Revision

SOFT: Final = "prob_of_class_"
"""What the names of columns with the probabilities of soft classes begin with; the class follows."""

ORIGINAL: Final = "original_class"
"""The column of features' own that keeps the class which a feature had before its first remap."""

_FOLDER: Final = Path(__file__).parent
_COLUMNS: Final = "change, feature_id, id_is_integer, class, geometry, crs, properties"


def plan_remap(
    revision: Revision, mapping: Mapping[str, str | None], *, prune_rasters: bool, request: dict[str, Any]
) -> EventDraft:
    """The `classes_remapped` event that giving each class in `mapping` its target would be; None drops it.

    Raises:
        UsageError: the mapping is empty, changes nothing or names nothing; a probability is no number.
        NotFoundError: a class is not there.
        ConflictError: the background class would be dropped while features have it.
    """
    known: dict[str, int] = dict(revision.fetch_rows("SELECT class, value FROM classes"))
    _check_mapping(mapping, known)
    values = values_after(known, mapping)
    targets = {name: mapping.get(name, name) for name in known}
    _stage_remap(revision, known, targets, values)
    _refuse_lost_background(revision, known, targets)
    columns = _stage_soft_remap(revision, mapping)
    emptied = json.dumps(dict.fromkeys(columns))
    run_script(revision.connection, (_FOLDER / "remap.sql").read_text(), {"emptied": emptied})
    remapped, dropped = revision.fetch_rows(
        "SELECT count(*) FILTER (change = 'changed'), count(*) FILTER (change = 'removed') FROM remapped_feature"
    )[0]
    if revision.fetch_value(f"SELECT bool_or((properties->>'$.{ORIGINAL}') IS NOT NULL) FROM remapped_feature"):  # noqa: S608
        columns[ORIGINAL] = "VARCHAR"
    rows: dict[str, Any] = _class_rows(known, values)
    if remapped or dropped:
        rows["feature_change"] = _feature_rows(revision, "remapped_feature")
    bare = _bare_chips(revision) if prune_rasters else []
    removed = make_removal_rows(revision, bare) if bare else {}
    payload = {
        "request": request,
        "columns": columns,
        "classes": sorted(values, key=values.__getitem__),
        "features": remapped,
        "dropped": dropped,
        "pruned": len(bare),
        **{f"{what}s": len(removed.get(f"{what}_change", ())) for what in ("label", "split")},
        "warnings": _warnings(revision, sorted(known.keys() - values.keys())),
    }
    return EventDraft("classes_remapped", payload, {**rows, **removed})


def plan_hardening(revision: Revision, threshold: float | None, request: dict[str, Any]) -> EventDraft:
    """The `classes_hardened` event: features get the class that their soft classes make the likeliest.

    Raises:
        UsageError: the threshold is no probability, or a column holds what is none.
        NotFoundError: there are no soft classes, or a column is named after an unknown class.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"--threshold {threshold:g} is no probability: give a number from 0 to 1")
    values = dict(revision.fetch_rows("SELECT class, value FROM classes"))
    names = soft_columns(revision)
    if not names:
        raise NotFoundError(f"the features have no column {SOFT}…: add features that have their soft classes there")
    unknown = [name for name in names if name.removeprefix(SOFT) not in values]
    if unknown:
        raise NotFoundError(
            f"column {quote_names(unknown)} is named after a class that is not in this dataset, which has "
            f"{quote_names([*values])}: add it with geographer add classes"
        )
    classes = [name.removeprefix(SOFT) for name in names]
    _stage_soft_values(revision, names)
    _stage(revision, "soft_class", {"name": names, "class": classes, "value": [values[name] for name in classes]})
    run_script(revision.connection, (_FOLDER / "argmax_class.sql").read_text(), {"threshold": threshold})
    count = revision.fetch_value("SELECT count(*) FROM hardened_feature")
    rows = {"feature_change": _feature_rows(revision, "hardened_feature")} if count else {}
    return EventDraft("classes_hardened", {"request": request, "features": count}, rows)


def values_after(known: Mapping[str, int], mapping: Mapping[str, str | None]) -> dict[str, int]:
    """The value of every class that there is after a remap.

    A class that stays, by itself or because others join it, keeps its value; one that is new has the smallest among
    the values of those that it is made from.
    """
    sources: dict[str, list[int]] = {}
    for name, value in known.items():
        target = mapping.get(name, name)
        if target is not None:
            sources.setdefault(target, []).append(value)
    return {
        name: known[name] if name in known and mapping.get(name, name) == name else min(values)
        for name, values in sources.items()
    }


def soft_columns(revision: Revision) -> list[str]:
    """The features' columns of soft classes, by name."""
    return sorted(name for name in revision.list_columns("features") if name.startswith(SOFT) and name != SOFT)


def _check_mapping(mapping: Mapping[str, str | None], known: Iterable[str]) -> None:
    if not mapping:
        raise UsageError("no class named: give each as 'old=new', 'one,other=new' or 'old=' to drop it")
    if "" in mapping or "" in mapping.values():
        raise UsageError("a class has no name: give each as 'old=new'; to drop one, 'old=' (in Python: None)")
    unknown = sorted(set(mapping).difference(known))
    if unknown:
        names = quote_names([*known]) if known else "none yet"
        raise NotFoundError(f"no class {quote_names(unknown)}: there are {names}; see geographer classes list")
    if all(name == target for name, target in mapping.items()):
        raise UsageError(f"{quote_names([*mapping])} would stay what they are: name a class that changes")


def _stage_remap(
    revision: Revision, known: dict[str, int], targets: dict[str, str | None], values: dict[str, int]
) -> None:
    """Make the temporary table `remap`: every class, what becomes of it, whether it is an object's before and after."""
    _stage(
        revision,
        "remap",
        {
            "class": [*known],
            "target": [targets[name] for name in known],
            "moved": [targets[name] != name for name in known],
            "was_object": [value != 0 for value in known.values()],
            "is_object": [target is not None and values[target] != 0 for target in targets.values()],
        },
    )


def _refuse_lost_background(revision: Revision, known: dict[str, int], targets: dict[str, str | None]) -> None:
    for name, value in known.items():
        if value == 0 and targets[name] is None:
            count = revision.fetch_value("SELECT count(*) FROM feature_now WHERE class = $name", {"name": name})
            if count:
                raise ConflictError(
                    f"background class '{name}' can't be dropped: {count:,} features have it, and erase in masks; "
                    "remove them first, or give them another class"
                )


def _stage_soft_remap(revision: Revision, mapping: Mapping[str, str | None]) -> dict[str, str | None]:
    """Make the temporary tables `soft_remap` and `soft_value` of the columns that a remap moves or adds to.

    Returns:
        Those columns with their types afterwards; None for those that are no more.
    """
    becomes: dict[str, str | None] = {}
    for name in soft_columns(revision):
        target = mapping.get(name.removeprefix(SOFT), name.removeprefix(SOFT))
        becomes[name] = None if target is None else SOFT + target
    moved = {name: after for name, after in becomes.items() if after != name}
    taking_part = {name: after for name, after in becomes.items() if name in moved or name in moved.values()}
    _stage(revision, "soft_remap", {"name": [*taking_part], "becomes": [*taking_part.values()]})
    _stage_soft_values(revision, [*taking_part])
    after = {name for name in taking_part.values() if name is not None}
    return {name: "DOUBLE" if name in after else None for name in sorted(after.union(taking_part))}


def _stage_soft_values(revision: Revision, names: list[str]) -> None:
    """Make the temporary table `soft_value` (feature_key, name, said, probability) of those columns.

    Raises:
        UsageError: one holds something that is no finite number.
    """
    pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in names]
    _stage(revision, "soft_column", {"name": names, "pointer": pointers})
    run_script(revision.connection, (_FOLDER / "probability_values.sql").read_text())
    wrong = revision.fetch_rows(
        "SELECT name, feature_id, said FROM soft_value JOIN (SELECT feature_key, feature_id FROM feature_now) "
        "USING (feature_key) WHERE probability IS NULL OR NOT isfinite(probability) ORDER BY name, feature_key LIMIT 1"
    )
    if wrong:
        name, feature, said = wrong[0]
        raise UsageError(f"column '{name}' of feature '{feature}' holds '{said}', which is no probability: mend it")


def _stage(revision: Revision, name: str, columns: dict[str, list[Any]]) -> None:
    """Make a temporary table; it is there also while the event is appended."""
    import pyarrow as pa

    types = {"value": pa.int32(), "moved": pa.bool_(), "was_object": pa.bool_(), "is_object": pa.bool_()}
    table = pa.table({column: pa.array(values, types.get(column, pa.string())) for column, values in columns.items()})
    revision.connection.register("staged", table)
    revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM staged")
    revision.connection.unregister("staged")


def _class_rows(before: dict[str, int], after: dict[str, int]) -> dict[str, Any]:
    changes = [("removed", name, value) for name, value in before.items() if name not in after]
    changes += [
        ("changed" if name in before else "added", name, value)
        for name, value in sorted(after.items(), key=lambda one: one[1])
        if before.get(name) != value
    ]
    kinds, names, values = ([change[i] for change in changes] for i in range(3))
    rows = {"change": kinds, "class": names, "value": values}
    return {"class_change": make_row_table("class_change", rows)} if changes else {}


def _feature_rows(revision: Revision, table: str) -> str:
    """The name of a view of a staged table with the columns of the log's, in the order in which features were added."""
    revision.connection.execute(
        f"CREATE OR REPLACE TEMP VIEW reclassed_feature AS SELECT {_COLUMNS} FROM {table} ORDER BY feature_key"  # noqa: S608
    )
    return "reclassed_feature"


def _warnings(revision: Revision, gone: list[str]) -> list[str]:
    """What recipes still ask for: classes that are no more, named in their SQL."""
    recipes = revision.fetch_rows("SELECT name, parameters FROM recipes")
    return [
        f"recipe '{recipe}' asks for class '{name}', which is no more"
        for recipe, parameters in recipes
        for name in gone
        if f"'{escape_literal(name)}'" in parameters
    ]


def _bare_chips(revision: Revision) -> list[str]:
    return [row[0] for row in revision.fetch_rows((_FOLDER / "chips_without_objects.sql").read_text())]

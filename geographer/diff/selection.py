"""Selection: which of the objects that differ to show, by kind, class, collection, subset, place, id or SQL."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Final, TypedDict

import msgspec

from geographer.base.errors import GeographerError, NotFoundError, UsageError, quote_names
from geographer.base.text import is_unicode
from geographer.diff.changes import OBJECT_KINDS, Sides
from geographer.storage.database.connection import run_script
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.queries.bounding_box import parse_bbox
from geographer.storage.queries.empty_selection import describe_empty_selection
from geographer.storage.queries.revision import Revision

logger = logging.getLogger(__name__)

TABLES: Final = ("features", "rasters", "edges", "chips", "labels", "splits", "classes", "recipes")
"""The groups of objects that a difference can be limited to; labels include the objects on them."""

_KINDS: Final = {
    "features": ("feature",),
    "rasters": ("raster",),
    "chips": ("raster",),
    "edges": ("edge",),
    "labels": ("label", "label_object"),
    "splits": ("split",),
    "classes": ("class",),
    "recipes": ("recipe",),
}
_IS_CHIP: Final = "coalesce(new.parent_id, old.parent_id) IS NOT NULL"
_RASTER_NAMES: Final = ("new.parent_id", "old.parent_id", "new.feature_id", "old.feature_id")
"""Objects that a chip names: the raster that it is cut from, and the feature that it is cut around."""
_KNOWN: Final = Path(__file__).with_name("known_names.sql")
_SCRIPT: Final = Path(__file__).with_name("selection.sql")
_CONDITIONS: Final = {
    "feature": "feature_id IN (FROM chosen_feature)",
    "raster": "raster_id IN (FROM chosen_raster)",
    "edge": "feature_id IN (FROM chosen_feature) AND raster_id IN (FROM chosen_raster)",
    "label": "raster_id IN (FROM chosen_raster)",
    "label_object": "raster_id IN (FROM chosen_raster) AND feature_id IN (FROM chosen_feature)",
    "split": "raster_id IN (FROM chosen_raster)",
    "class": "false",
    "recipe": "false",
}


class DiffConditions(TypedDict, total=False):
    """The conditions of a `DiffSelection`, by name."""

    only: Sequence[str] | str
    where: str | None
    class_: str | None
    collection: str | None
    subset: str | None
    bbox: tuple[float, float, float, float] | str | None
    ids: Sequence[str] | str | None


class DiffSelection(msgspec.Struct, frozen=True, kw_only=True):
    """Which objects to show; all conditions that are given must hold, on either side of the difference.

    Attributes:
        only: Groups of objects, of `TABLES`; one or many.
        where: An SQL expression over the columns of features, or of rasters if it names columns that only they have.
        class_: The class of features, and of what shows them.
        collection: The collection of rasters (for chips, their recipe), and of what lies on them.
        subset: The part of a split that rasters are in, or `SPLIT/PART` if several splits have such a part.
        bbox: West, south, east, north in degrees (EPSG:4326); west may exceed east across the antimeridian.
        ids: Ids of features, rasters, classes or recipes, one or many.
    """

    only: Sequence[str] = ()
    where: str | None = None
    class_: str | None = None
    collection: str | None = None
    subset: str | None = None
    bbox: tuple[float, float, float, float] | str | None = None
    ids: Sequence[str] | None = None

    def __post_init__(self) -> None:
        texts = {"where": self.where, "class": self.class_, "collection": self.collection, "subset": self.subset}
        for name, text in texts.items():
            if text is not None:
                _require_text(name, text)
        for name in ("only", "ids"):
            if (value := getattr(self, name)) is not None:
                msgspec.structs.force_setattr(self, name, _list_texts(name, value))
        if unknown := [name for name in self.only if name not in TABLES]:
            raise UsageError(f"unknown --only {unknown[0]!r}. Use {', '.join(TABLES)}.")
        if self.bbox is not None:
            parse_bbox(self.bbox)

    @property
    def has_conditions(self) -> bool:
        """Whether objects are chosen by more than their kind."""
        return any(
            value is not None for value in (self.where, self.class_, self.collection, self.subset, self.bbox, self.ids)
        )

    def list_kinds(self) -> list[str]:
        """Return the kinds of objects to show."""
        wanted = {kind for name in (self.only or TABLES) for kind in _KINDS[name]}
        return [kind for kind in OBJECT_KINDS if kind in wanted]

    def build_condition(self, kind: str) -> str:
        """Return the SQL condition that rows of `changed_<kind>` must meet, after `stage_selection`."""
        conditions = [_CONDITIONS[kind]] if self.has_conditions and not self.chooses_by_id_only else []
        if kind == "class" and self.class_ is not None:
            conditions = ["\"class\" = getvariable('chosen_class')"]
        if kind == "label_object" and self.class_ is not None:
            conditions.append("getvariable('chosen_class') IN (old.class, new.class)")
        if kind == "split" and self.subset is not None:
            conditions.append("split = getvariable('chosen_split')")
        if self.ids is not None:
            keys = [*OBJECT_KINDS[kind].keys, *(_RASTER_NAMES if kind == "raster" else [])]
            tests = [f"{_quote_key(key)} IN (FROM chosen_id)" for key in keys]
            conditions.append(f"({' OR '.join(tests)})")
        if kind == "raster" and self.only and not {"rasters", "chips"} <= {*self.only}:
            conditions.append(_IS_CHIP if "chips" in self.only else f"NOT ({_IS_CHIP})")
        return " AND ".join(conditions) or "true"

    @property
    def chooses_by_id_only(self) -> bool:
        """Whether ids are the only condition."""
        others = (self.where, self.class_, self.collection, self.subset, self.bbox)
        return all(value is None for value in others)


def stage_selection(revision: Revision, sides: Sides, selection: DiffSelection) -> None:
    """Make the temporary tables `chosen_feature`, `chosen_raster` and `chosen_id`, which `build_condition` names.

    Raises:
        UsageError: `where` is not one SQL expression, or several splits have a part of the name of the subset.
        NotFoundError: `where` names columns that neither features nor rasters have, or neither side has the class,
            collection, subset or an id.
    """
    if not selection.has_conditions:
        return
    connection = revision.connection
    split, subset = _require_known_names(revision, sides, selection)
    connection.execute("SET VARIABLE chosen_class = $name", {"name": selection.class_})
    connection.execute("SET VARIABLE chosen_split = $name", {"name": split})
    ids = {"ids": [*(selection.ids or ())]}
    connection.execute("CREATE OR REPLACE TEMP TABLE chosen_id AS SELECT unnest($ids::VARCHAR[]) AS id", ids)
    table = _stage_filter(revision, sides, selection)
    west, south, east, north = (None, None, None, None) if selection.bbox is None else parse_bbox(selection.bbox)
    by_feature = selection.class_ is not None or table == "features"
    by_raster = selection.collection is not None or selection.subset is not None or table == "rasters"
    parameters = {
        **{"old": sides.old, "new": sides.new, "class": selection.class_, "collection": selection.collection},
        **{"split": split, "subset": subset, "west": west, "south": south, "east": east, "north": north},
        **{"by_feature": by_feature, "by_raster": by_raster, "where_table": table},
    }
    run_script(connection, _SCRIPT.read_text(), parameters)
    _warn_of_unused_conditions(revision, selection, table)


def _warn_of_unused_conditions(revision: Revision, selection: DiffSelection, table: str | None) -> None:
    """Log the conditions that choose no object on either side, so that nothing differs whatever was changed."""
    if selection.where is not None and table and not revision.fetch_rows("FROM matching_id LIMIT 1"):
        text = describe_empty_selection(revision, table, selection.where)
        logger.warning("%s", text or f"--where: there is no {table.removesuffix('s')} to choose.")
    elif not selection.chooses_by_id_only and not any(
        revision.fetch_rows(f"FROM chosen_{name} LIMIT 1") for name in ("feature", "raster")
    ):
        logger.warning("no feature or raster of either revision meets all conditions.")


def _stage_filter(revision: Revision, sides: Sides, selection: DiffSelection) -> str | None:
    """Make the temporary table `matching_id` of the objects for which `where` is true; return their table, if any."""
    connection, where = revision.connection, selection.where
    connection.execute("CREATE OR REPLACE TEMP TABLE matching_id (id VARCHAR)")
    if where is None:
        return None
    table, positions = _find_table(revision, sides, selection)
    id_column = f"{table.removesuffix('s')}_id"
    for position in positions:
        side = Revision(connection, position)
        with translate_sql_errors(where):
            condition = side.validate_filter(table, where)
            connection.execute(f"INSERT INTO matching_id SELECT {id_column}::VARCHAR FROM {table} WHERE {condition}")  # noqa: S608
    Revision(connection, revision.position)
    return table


def _find_table(revision: Revision, sides: Sides, selection: DiffSelection) -> tuple[str, list[int]]:
    """Return the first table, features or rasters, that has the columns of the filter, and the sides that have them."""
    by_raster = {*selection.only} & {"rasters", "chips"}
    errors: list[GeographerError] = []
    for table in ("rasters", "features") if by_raster else ("features", "rasters"):
        positions = []
        for position in sorted({*sides}, reverse=True):
            try:
                _check_filter(Revision(revision.connection, position), table, selection.where)
            except GeographerError as error:
                errors.append(error)
            else:
                positions.append(position)
        if positions:
            return table, positions
    raise errors[0]


def _check_filter(revision: Revision, table: str, where: str | None) -> None:
    condition = revision.validate_filter(table, where)
    with translate_sql_errors(where):
        revision.connection.execute(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 0")  # noqa: S608


def _require_known_names(revision: Revision, sides: Sides, selection: DiffSelection) -> tuple[str | None, str | None]:
    """Return the split and the part of the subset; raise if neither side has what the selection names."""
    split, subset = None, selection.subset
    if subset is not None and "/" in subset:
        split, _, subset = subset.partition("/")
    names = {"class": selection.class_, "collection": selection.collection, "subset": subset}
    parameters = {**names, "split": split, "ids": [*(selection.ids or ())], "old": sides.old, "new": sides.new}
    splits = []
    for kind, name, is_known in revision.fetch_rows(_KNOWN.read_text(), parameters):
        if kind == "split":
            splits.append(name)
        elif not is_known:
            raise NotFoundError(f"no {kind} '{name}' at @{sides.old} or @{sides.new}. Correct the name: --{kind}.")
    if len(splits) > 1:
        raise UsageError(f"splits {quote_names(splits)} have a part '{subset}'. Pass --subset {splits[0]}/{subset}.")
    if subset is not None and not splits:
        raise NotFoundError(f"no subset '{selection.subset}' at @{sides.old} or @{sides.new}. See geographer splits.")
    return (splits[0] if splits else None), subset


def _require_text(name: str, value: Any) -> str:
    if not (isinstance(value, str) and is_unicode(value)):
        raise UsageError(f"invalid --{name} {value!r}. Use a text.")
    return value


def _list_texts(name: str, value: Any) -> list[str]:
    """Return one text or many, and whole numbers as text; `UsageError` for other values."""
    items = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(items, str | Integral) and not isinstance(items, bool):
        items = [items]
    if not isinstance(items, list | tuple | set | frozenset):
        raise UsageError(f"invalid --{name} {value!r}. Use a text, or many of them.")
    numbers = [str(int(item)) if isinstance(item, Integral) and not isinstance(item, bool) else item for item in items]
    return [_require_text(name, item) for item in numbers]


def _quote_key(key: str) -> str:
    return key if "." in key else f'"{key}"'

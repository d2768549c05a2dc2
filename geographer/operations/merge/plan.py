"""Another dataset in: its classes, features, rasters, labels and recipes at a revision, as the rows of one event."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError, quote_names
from geographer.base.values import Checksums, validate_name
from geographer.storage.database.connection import quote_identifier, run_script
from geographer.storage.events import EventDraft
from geographer.storage.log.digests import row_digest_sql
from geographer.storage.log.read import read_event, read_head
from geographer.storage.log.row_tables import TABLES, make_row_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from geographer.planning.up_to_date_labels import UpToDateLabels
    from geographer.storage.dvc.store import Store
    from geographer.storage.queries.revision import Revision

OnEqualId = Literal["ours", "theirs"]

_FOLDER: Final = Path(__file__).parent
_MOVED: Final = _FOLDER / "incoming_rows.sql"
_THEIR_LABELS: Final = _FOLDER / "other_labels.sql"
_THEIR_OBJECTS: Final = _FOLDER / "other_objects.sql"
_THEIR_INPUTS: Final = _FOLDER / "other_inputs.sql"
_COMING_LABELS: Final = _FOLDER / "incoming_labels.sql"
_COMING_INPUTS: Final = _FOLDER / "incoming_inputs.sql"
_ORPHANS: Final = _FOLDER / "orphaned_chips.sql"
_BYTE: Final = 255
_COLLECTIONS_OF: Final = ("source", "collection", "into")
"""The parameters of recipes that name a collection."""


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """How another dataset is merged.

    Attributes:
        on_equal_id: Whose object stays where both have an id with other content; None refuses that.
        prefix: Stands before all their ids of features and rasters.
        rename: Their recipes and collections, old name to new.
    """

    on_equal_id: OnEqualId | None = None
    prefix: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)


class Recipe(NamedTuple):
    """A recipe as the log records it; `parameters` is canonical JSON."""

    name: str
    kind: str
    parameters: str


@dataclass(frozen=True, slots=True)
class Other:
    """What another dataset holds at a revision, read into memory.

    `feature` and `raster` have the columns of the log and `place`, their order; `label` the labels, and of
    those that stand what they depend on; `object` what they list; `shown` and `forms` are as `Standing` has them;
    `input` the boxes and choices of recipes; `columns` are a person's own, for 'feature' and 'raster'.
    """

    root: Path
    classes: list[tuple[str, int]]
    recipes: list[Recipe]
    feature: pa.Table
    raster: pa.Table
    label: pa.Table
    object: pa.Table
    shown: pa.Table
    input: pa.Table
    forms: dict[str, dict[str, Any]]
    splits: int
    columns: dict[str, dict[str, str]]
    history: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DatasetAddition:
    """A planned `dataset_imported` event, and the files whose bytes DVC is to store, with their checksums."""

    draft: EventDraft
    files: list[tuple[Path, Checksums]]


def read_other(theirs: Revision, root: Path, asked: str | int | None, standing: UpToDateLabels) -> Other:
    """What a dataset in `root` holds at an opened revision, and which revision that is, for the record."""
    event = read_event(theirs.connection, theirs.position)
    head = read_head(theirs.connection)
    history = {
        "revision": None if asked is None else str(asked),
        "position": theirs.position,
        "digest": event.digest,
        "content_digest": theirs.compute_content_digest(),
        "events": theirs.position,
        "head": {"position": head.position, "digest": head.digest},
    }
    recipes = theirs.fetch_rows("SELECT name, kind, parameters FROM recipes")
    return Other(
        root=root,
        classes=theirs.fetch_rows("SELECT class, value FROM classes ORDER BY value, class"),
        recipes=[Recipe(*row) for row in recipes],
        feature=_logged(theirs, "feature"),
        raster=_logged(theirs, "raster"),
        label=_their_labels(theirs, standing),
        object=theirs.fetch_arrow(_THEIR_OBJECTS.read_text()),
        shown=standing.objects,
        input=theirs.fetch_arrow(_THEIR_INPUTS.read_text()),
        forms=standing.forms,
        splits=theirs.fetch_value("SELECT count(DISTINCT split) FROM split_now"),
        columns={subject: _own_columns(theirs, subject) for subject in ("feature", "raster")},
        history=history,
    )


def plan_dataset(
    revision: Revision, root: Path, other: Other, store: Store, options: DatasetOptions, request: dict[str, Any]
) -> DatasetAddition:
    """The `dataset_imported` event that merging `other` would be; `store` has the bytes of its files.

    Raises:
        ConflictError: an id, a recipe's name, a class or a file's path stands for something else here.
        NotFoundError: a name to rename is not there.
        UsageError: a prefix or a new name can't be part of a path.
        CorruptError: bytes are missing or altered there.
    """
    _check(other, options)
    recipes = _new_recipes(revision, other, options)
    classes, values = _classes(revision, other)
    with _staged(revision, other, options):
        for subject in ("feature", "raster"):
            _judge(revision, subject, options)
        _settle_rasters(revision, root)
        tables = {
            "class_change": make_row_table(
                "class_change", {"class": [c for c, _ in classes], "value": [v for _, v in classes]}
            ),
            "feature_change": _coming(revision, "feature"),
            "raster_change": _coming(revision, "raster"),
        }
        wanted = revision.fetch_rows(
            "SELECT raster_id, their_path, size, md5, sha256 FROM coming_raster "
            "WHERE comes AND storage = 'dvc' ORDER BY place"
        )
        forms = _same_forms(other, values)
        labels = _labels(revision, options, list(forms))
        tables["label_change"] = _label_rows(labels)
        tables["label_object_change"] = _objects(revision, tables["label_change"])
        new = [recipe.name for recipe in recipes]
        tables["recipe_input"] = revision.fetch_arrow(_COMING_INPUTS.read_text(), {"new": new})
        left = len(other.label) - len(labels) - _labels_known(revision)
        counts = _counts(revision, options)
    wanted += [(row["raster_id"], row["their_path"], row["size"], row["md5"], row["sha256"]) for row in labels]
    payload = {
        "request": request,
        "history": other.history,
        "columns": other.columns,
        "classes": [name for name, _ in classes],
        "recipes": [
            _entry(recipe, {options.rename.get(name, name): form for name, form in forms.items()}) for recipe in recipes
        ],
        "features": tables["feature_change"].num_rows,
        "rasters": tables["raster_change"].num_rows,
        "labels": len(labels),
        **counts,
        "left_out_labels": left,
        "left_out_splits": other.splits,
        "warnings": _warnings(other, left, _agree(other, values), counts["left_out_chips"]),
    }
    rows = {table: part for table, part in tables.items() if part.num_rows}
    return DatasetAddition(EventDraft("dataset_imported", payload, rows), _located(store, wanted))


def _logged(theirs: Revision, subject: Literal["feature", "raster"]) -> pa.Table:
    """The rows of the log that hold what features, or rasters, are at the revision; `place`: in which order added."""
    columns = ", ".join(f"change.{quote_identifier(name)}" for name in TABLES[f"{subject}_change"])
    return theirs.fetch_arrow(
        f"SELECT {columns}, row_number() OVER (ORDER BY added, change.{subject}_id) AS place "  # noqa: S608
        f"FROM log.{subject}_change AS change JOIN (SELECT {subject}_key FROM {subject}_now) "
        f"ON position = {subject}_key >> 32 AND ordinal = {subject}_key & 4294967295 "
        f"JOIN {subject}_order USING ({subject}_id) ORDER BY place"
    )


def _their_labels(theirs: Revision, standing: UpToDateLabels) -> pa.Table:
    theirs.connection.register("standing_label", standing.labels)
    try:
        return theirs.fetch_arrow(_THEIR_LABELS.read_text())
    finally:
        theirs.connection.unregister("standing_label")


def _own_columns(theirs: Revision, subject: str) -> dict[str, str]:
    """A person's own columns with a type that holds all that came under that name."""
    rows = theirs.fetch_rows(
        "SELECT name, list(DISTINCT type) FROM state.own_column WHERE subject = $subject AND position <= $position "
        "GROUP BY name ORDER BY min((position, ordinal))",
        {"subject": subject, "position": theirs.position},
    )
    numbers = {"BIGINT", "DOUBLE"}
    return {
        name: types[0] if len(types) == 1 else "DOUBLE" if set(types) == numbers else "VARCHAR" for name, types in rows
    }


def _check(other: Other, options: DatasetOptions) -> None:
    if options.prefix:
        validate_name("prefix", options.prefix)
    names = {recipe.name for recipe in other.recipes} | _collections(other)
    unknown = sorted(set(options.rename) - names)
    if unknown:
        raise NotFoundError(
            f"no recipe or collection {quote_names(unknown)} to rename: '{other.root}' has {quote_names(sorted(names))}"
        )
    for name in options.rename.values():
        validate_name("recipe", name)
    new = [options.rename.get(name, name) for name in names]
    twice = sorted({name for name in new if new.count(name) > 1})
    if twice:
        raise UsageError(
            f"--rename gives {quote_names(twice)} to two recipes or collections: choose another name for one"
        )


def _collections(other: Other) -> set[str]:
    return {name for name in other.raster["collection"].to_pylist() if name != "catalogue"}


def _new_recipes(revision: Revision, other: Other, options: DatasetOptions) -> list[Recipe]:
    """Their recipes that the dataset lacks, under their new names; one that is there must be the same.

    Raises:
        ConflictError: a name stands for another recipe, or for a collection of another kind.
    """
    ours = {row[0]: Recipe(*row) for row in revision.fetch_rows("SELECT name, kind, parameters FROM recipes")}
    made = {recipe.name for recipe in other.recipes if recipe.kind.startswith("cut")}
    theirs = [_renamed(recipe, options.rename) for recipe in other.recipes]
    changed = [recipe.name for recipe in theirs if ours.get(recipe.name, recipe) != recipe]
    if changed:
        known = ours[changed[0]]
        raise ConflictError(
            f"recipe {quote_names(changed)} has other parameters here ({known.kind} {known.parameters}): "
            f"take theirs under another name with --rename {changed[0]}=NEW"
        )
    plain = {row[0] for row in revision.fetch_rows("SELECT DISTINCT collection FROM raster_now WHERE recipe IS NULL")}
    cuts = {recipe.name for recipe in ours.values() if recipe.kind.startswith("cut")}
    clashing = sorted({recipe.name for recipe in theirs if recipe.kind.startswith("cut")} & plain)
    clashing += sorted({options.rename.get(name, name) for name in _collections(other) - made} & cuts)
    if clashing:
        raise ConflictError(
            f"{quote_names(clashing)} is a recipe's collection on one side, and one of added rasters on the other: "
            f"rename theirs with --rename {clashing[0]}=NEW"
        )
    return [recipe for recipe in theirs if recipe.name not in ours]


def _renamed(recipe: Recipe, rename: Mapping[str, str]) -> Recipe:
    parameters = json.loads(recipe.parameters)
    for key in _COLLECTIONS_OF:
        if key in parameters:
            parameters[key] = rename.get(parameters[key], parameters[key])
    return Recipe(rename.get(recipe.name, recipe.name), recipe.kind, canonical_json(parameters))


def _entry(recipe: Recipe, forms: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A recipe as the payload has it; with the form of the labels that come, so that another one makes all anew."""
    form = {"form": forms[recipe.name]} if recipe.name in forms else {}
    return {**recipe._asdict(), "parameters": json.loads(recipe.parameters), **form}


def _classes(revision: Revision, other: Other) -> tuple[list[tuple[str, int]], dict[str, int]]:
    """Their classes that the dataset lacks, with values after ours; and the values of all classes then.

    Raises:
        ConflictError: a class is the background on one side only.
    """
    values = dict(revision.fetch_rows("SELECT class, value FROM classes"))
    clashing = [name for name, value in other.classes if name in values and (values[name] == 0) != (value == 0)]
    if clashing:
        raise ConflictError(
            f"class {quote_names(clashing)} is the background on one side, and has a value on the other: rename it on one "
            "side, then import again"
        )
    fresh: list[tuple[str, int]] = []
    last = max(values.values(), default=0)
    for name, value in other.classes:
        if name not in values:
            last += value != 0
            fresh.append((name, last if value else 0))
    values |= dict(fresh)
    return fresh, values


def _agree(other: Other, values: dict[str, int]) -> bool:
    """Whether all of their classes keep their values."""
    return all(values[name] == value for name, value in other.classes)


def _same_forms(other: Other, values: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The forms of their labels that are those of the labels to be made here, where classes have `values`.

    With other classes beside theirs, labels with a band for each class get more bands, and masks may get a wider type.
    """
    if dict(other.classes) == values:
        return other.forms
    if not _agree(other, values):
        return {}
    narrow = max(values.values(), default=0) <= _BYTE
    return {name: form for name, form in other.forms.items() if "bands" not in form and ("dtype" not in form or narrow)}


@contextmanager
def _staged(revision: Revision, other: Other, options: DatasetOptions) -> Iterator[None]:
    """Their rows, moved to their new ids and names, as relations of our connection."""
    connection = revision.connection
    tables = {
        "their_feature": other.feature,
        "their_raster": other.raster,
        "their_label": other.label,
        "their_object": other.object,
        "their_shown": other.shown,
        "their_input": other.input,
    }
    cuts = [recipe.name for recipe in other.recipes if recipe.kind.startswith("cut")]
    connection.execute("SET VARIABLE prefix = $prefix", {"prefix": options.prefix})
    connection.execute("SET VARIABLE root = $root", {"root": other.root.as_posix()})
    connection.execute("SET VARIABLE cuts = $cuts::VARCHAR[]", {"cuts": cuts})
    names = {"old": list(options.rename), "new": list(options.rename.values())}
    connection.execute("SET VARIABLE renames = map($old::VARCHAR[], $new::VARCHAR[])", names)
    for name, table in tables.items():
        connection.register(name, table)
    try:
        run_script(connection, _MOVED.read_text())
        yield
    finally:
        for name in tables:
            connection.unregister(name)


def _judge(revision: Revision, subject: Literal["feature", "raster"], options: DatasetOptions) -> None:
    """Make `coming_feature` or `coming_raster`: each row with its fate (added, equal, other) and whether it `comes`.

    Raises:
        ConflictError: there are others, and the options do not say whose stay.
    """
    comes = "fate = 'added' OR fate = 'other'" if options.on_equal_id == "theirs" else "fate = 'added'"
    revision.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE coming_{subject} AS SELECT *, {comes} AS comes FROM ("  # noqa: S608
        "SELECT moved.*, CASE WHEN row_digest IS NULL THEN 'added' WHEN row_digest = digest THEN 'equal' "
        "ELSE 'other' END AS fate "
        f"FROM (SELECT *, {row_digest_sql(f'{subject}_change')} AS digest FROM moved_{subject}) AS moved "
        f"LEFT JOIN (SELECT {subject}_id, row_digest FROM {subject}_now) USING ({subject}_id))"
    )
    others = revision.fetch_rows(f"SELECT {subject}_id FROM coming_{subject} WHERE fate = 'other' ORDER BY place")  # noqa: S608
    if others and options.on_equal_id is None:
        raise ConflictError(
            f"{subject} {quote_names([row[0] for row in others])}: both datasets have that id, with other content: pass "
            "--on-equal-id ours or theirs, or --prefix P for all their ids"
        )


def _settle_rasters(revision: Revision, root: Path) -> None:
    """Leave out chips that were cut from a raster which stays as ours; refuse files where others lie.

    Raises:
        ConflictError: another raster, or a file that the log does not know, has the path of one that comes.
    """
    revision.connection.execute(_ORPHANS.read_text())
    paths = revision.fetch_rows(
        "SELECT path FROM coming_raster AS coming WHERE comes AND storage = 'dvc' AND path IN "
        "(SELECT path FROM raster_now WHERE storage = 'dvc' AND raster_now.raster_id <> coming.raster_id) ORDER BY path"
    )
    known = {row[0] for row in revision.fetch_rows("SELECT path FROM raster_now WHERE storage = 'dvc'")}
    coming = revision.fetch_rows("SELECT path FROM coming_raster WHERE comes AND storage = 'dvc' ORDER BY path")
    in_the_way = [row[0] for row in paths] or [
        path for (path,) in coming if path not in known and (root / path).exists()
    ]
    if in_the_way:
        raise ConflictError(
            f"another file lies at {quote_names(in_the_way)}: move it away (see geographer verify --repair), or pass "
            "--prefix P or --rename OLD=NEW"
        )


def _coming(revision: Revision, subject: Literal["feature", "raster"]) -> pa.Table:
    columns = ", ".join(map(quote_identifier, TABLES[f"{subject}_change"]))
    return revision.fetch_arrow(
        f"SELECT if(fate = 'added', 'added', 'changed') AS change, {columns} FROM coming_{subject} "  # noqa: S608
        "WHERE comes ORDER BY place"
    )


def _labels(revision: Revision, options: DatasetOptions, labels: list[str]) -> list[dict[str, Any]]:
    """Those of their `labels` that hold here too. Where a feature of theirs gives way to ours, none is sure to."""
    if revision.fetch_value("SELECT count(*) FROM coming_feature WHERE fate = 'other' AND NOT comes"):
        return []
    asked = {"theirs": options.on_equal_id == "theirs", "labels": labels}
    rows: list[dict[str, Any]] = revision.fetch_arrow(_COMING_LABELS.read_text(), asked).to_pylist()
    return rows


def _labels_known(revision: Revision) -> int:
    """How many of their labels are here already, of equal rasters; whether they are right, `update` sees."""
    return int(
        revision.fetch_value(
            "SELECT count(*) FROM moved_label SEMI JOIN (FROM coming_raster WHERE fate = 'equal') USING (raster_id) "
            "SEMI JOIN label_now USING (label, raster_id)"
        )
    )


def _label_rows(labels: list[dict[str, Any]]) -> pa.Table:
    columns = TABLES["label_change"]
    return make_row_table("label_change", {name: [row[name] for row in labels] for name in columns})


def _objects(revision: Revision, labels: pa.Table) -> pa.Table:
    """What the labels that come list."""
    columns = ", ".join(map(quote_identifier, TABLES["label_object_change"]))
    revision.connection.register("coming_label", labels)
    try:
        return revision.fetch_arrow(
            f"SELECT 'added' AS change, {columns} FROM moved_object "  # noqa: S608
            "SEMI JOIN coming_label USING (label, raster_id) ORDER BY label, raster_id, feature_id"
        )
    finally:
        revision.connection.unregister("coming_label")


def _counts(revision: Revision, options: DatasetOptions) -> dict[str, int]:
    """How many objects were equal, and what became of the others."""
    of = dict(
        revision.fetch_rows(
            "SELECT fate, count(*) FROM (SELECT fate FROM coming_feature UNION ALL SELECT fate FROM coming_raster) "
            "GROUP BY fate"
        )
    )
    other = of.get("other", 0)
    theirs = options.on_equal_id == "theirs"
    return {
        "equal": of.get("equal", 0),
        "kept_as_ours": 0 if theirs else other,
        "replaced_by_theirs": other if theirs else 0,
        "left_out_chips": of.get("orphan", 0),
    }


def _warnings(other: Other, labels: int, agree: bool, orphans: int) -> list[str]:
    told = []
    if labels:
        why = "features of ours lie on their rasters, or they are out of date there, or could come out otherwise here"
        why = why if agree else "the values of the classes differ"
        told.append(f"{labels:,} labels are left out, because {why}: geographer update makes them")
    if other.splits:
        told.append("splits are not taken over, because together they could leak: geographer update assigns anew")
    if orphans:
        told.append(f"{orphans:,} chips are left out, because the rasters that they were cut from stay as ours")
    return told


def _located(store: Store, wanted: list[tuple[Any, ...]]) -> list[tuple[Path, Checksums]]:
    """A file with the right bytes for each, from their cache, their workspace, or their remote; all are hashed.

    Raises:
        CorruptError: one is nowhere; the message names whose.
    """
    from geographer.base.atomic_files import check_file

    files = [(raster, store.root / path, Checksums(*sums)) for raster, path, *sums in wanted]
    damaged = store.check([sums for _, _, sums in files])
    lost = {md5 for md5, damage in damaged.items() if damage == "missing"}
    elsewhere = {sums.md5: path for _, path, sums in files if sums.md5 in damaged and check_file(path, sums) is None}
    store.fetch(sorted(lost - elsewhere.keys()))
    still = store.check([sums for _, _, sums in files if sums.md5 in damaged and sums.md5 not in elsewhere])
    if still:
        whose = sorted({raster for raster, _, sums in files if sums.md5 in still})
        raise CorruptError(
            f"the bytes of raster {quote_names(whose)} are missing or altered in '{store.root}': run geographer verify "
            "there, and bring them back"
        )
    return [(elsewhere.get(sums.md5, store.path_of(sums.md5)), sums) for _, _, sums in files]

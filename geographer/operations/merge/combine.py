"""Combine the sides of a merge, of resolutions or of a reverted event: what the event says, and its rows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError
from geographer.operations.merge.classes import ClassPlace, merge_classes
from geographer.operations.merge.contested import merge_contested
from geographer.operations.merge.decide import Decisions
from geographer.operations.merge.events import DroppedColumns, MergedTag
from geographer.operations.merge.facts import RecipeState, SideFacts, read_side_facts, stage_removals
from geographer.operations.merge.label_files import (
    find_label_collections,
    list_ignored_values,
    list_unfit_sides,
    require_no_lost_labels,
    require_no_renumbered_masks,
)
from geographer.operations.merge.orders import make_order_rows
from geographer.operations.merge.recipes import NONE, CombinedRecipes, merge_recipes
from geographer.operations.merge.sides import FIRST, SECOND, MergeSides
from geographer.operations.merge.three_way import Take, choose_value
from geographer.operations.merge.user_columns import merge_user_columns, plan_columns
from geographer.planning.merge_conflicts import Conflict
from geographer.planning.user_columns import ObjectColumns
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

_FOLDER: Final = Path(__file__).parent
_USED_CLASSES: Final = (
    "SELECT DISTINCT class FROM version_feature_change JOIN decision_feature_change USING (feature_id) "
    "WHERE side = chosen UNION SELECT class FROM merged_feature_change"
)
_WITHDRAWN: Final = (
    "SELECT DISTINCT md5, raster_id, path, sha256, size FROM log.withdrawn_file JOIN side_event USING (event_key) "
    "WHERE side = '{0}'"
)
_HAS_WITHDRAWN: Final = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'log' AND table_name = 'withdrawn_file'"
_COUNTED: Final = {"classes": "class", "features": "feature", "rasters": "raster", "labels": "label", "splits": "split"}


@dataclass(slots=True)
class Combined:
    """The result: values of the payload by name, the rows by row table, conflicts, and classes with other values.

    `class_values` are the values of all classes, if a side changed one. `has_assignments` says that assignments to
    parts were compared.
    """

    payload: dict[str, Any] = field(default_factory=dict)
    rows: "dict[str, pa.Table | str]" = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    renumbered: list[str] = field(default_factory=list)
    class_places: dict[str, ClassPlace] = field(default_factory=dict)
    class_values: dict[str, int] = field(default_factory=dict)
    has_assignments: bool = False


def combine_sides(revision: Revision, sides: MergeSides, take: Take) -> Combined:
    """Compare the staged sides three-way; where both changed the same differently, the value of `take` counts.

    Raises:
        ConflictError: a name would be both a collection of added rasters and a recipe of chips, or labels that were
            added as files would be lost or show another class.
    """
    combined = Combined()
    facts = read_side_facts(revision, sides)
    recipes = merge_recipes(facts, sides, take)
    removed = _merge_removals(revision, sides, take, combined)
    decisions = Decisions(revision, sides)
    decisions.stage_rules(recipes.rules, sorted(removed))
    changed = decisions.find_changed_tables()
    ignored = list_ignored_values([facts[FIRST], facts[SECOND]])
    _combine_features(revision, sides, decisions, take, combined, changed, ignored)
    _combine_rasters(revision, sides, decisions, take, combined)
    contested = _combine_labels(decisions, recipes, changed, facts, sides, combined.class_values)
    combined.has_assignments = _combine_assignments(decisions, recipes, changed)
    combined.rows |= decisions.stage_net_rows()
    _combine_recipes(recipes, combined)
    if "raster_change" in changed:
        _check_collections(revision, facts, recipes, sides)
    _combine_removals(revision, removed, combined)
    _combine_columns(facts, sides, take, combined)
    _combine_tags(facts, sides, take, combined)
    subjects = [subject for subject in ("feature", "raster") if f"{subject}_change" in changed]
    if (orders := make_order_rows(revision, sides.common, subjects, combined.class_places)) is not None:
        combined.rows["object_order"] = orders
    for name, kind in _COUNTED.items():
        rows = combined.rows.get(f"{kind}_change")
        combined.payload[name] = revision.fetch_value(f"SELECT count(*) FROM {rows}") if rows else 0  # noqa: S608
    combined.payload["warnings"] = [
        f"label '{label}' of raster '{raster_id}' was changed on both branches; the one that was added later was taken"
        for label, raster_id in contested
    ]
    return combined


def _combine_features(
    revision: Revision,
    sides: MergeSides,
    decisions: Decisions,
    take: Take,
    combined: Combined,
    changed: Collection[str],
    ignored: Collection[int],
) -> None:
    conflicts: list[Conflict] = []
    used: list[str] = []
    if "feature_change" in changed:
        decisions.decide_declared("feature_change")
        rows, conflicts = merge_contested(revision, sides, "feature_change", take)
        decisions.apply_merged("feature_change", rows)
        used = [name for (name,) in revision.fetch_rows(_USED_CLASSES)]
    combined.conflicts += conflicts
    if "class_change" not in changed:
        return
    decisions.decide_declared("class_change")
    class_rows, class_conflicts = merge_contested(revision, sides, "class_change", take)
    merged = merge_classes(revision, sides.common, class_rows, used, ignored)
    decisions.apply_merged("class_change", merged.rows)
    combined.conflicts[:0] = class_conflicts
    combined.renumbered, combined.class_places = merged.renumbered, merged.places
    combined.class_values = merged.values


def _combine_rasters(
    revision: Revision, sides: MergeSides, decisions: Decisions, take: Take, combined: Combined
) -> None:
    decisions.decide_declared("raster_change")
    if revision.fetch_rows(_HAS_WITHDRAWN):
        _end_withdrawn(revision, combined)
    rows, conflicts = merge_contested(revision, sides, "raster_change", take)
    decisions.apply_merged("raster_change", rows)
    combined.conflicts += conflicts
    decisions.decide_chips()


def _combine_labels(
    decisions: Decisions,
    recipes: CombinedRecipes,
    changed: Collection[str],
    facts: Mapping[str, SideFacts],
    sides: MergeSides,
    class_values: Mapping[str, int],
) -> list[tuple[str, str]]:
    """Decide on labels, if there may be any to decide on; return added labels that both sides changed."""
    is_affected = NONE in recipes.rules.values() or decisions.has_absent_rasters()
    if not (is_affected or {"label_change", "label_object_change"} & set(changed)):
        return []
    collections = find_label_collections(facts.values())
    contested = decisions.decide_labels(collections)
    require_no_lost_labels(decisions.find_lost_labels(list_unfit_sides(facts, recipes)), facts, sides)
    require_no_renumbered_masks(decisions.find_renumbered_masks(class_values, collections), sides)
    return contested


def _combine_assignments(decisions: Decisions, recipes: CombinedRecipes, changed: Collection[str]) -> bool:
    """Decide on assignments, if there may be any to decide on; return whether there were."""
    is_affected = NONE in recipes.rules.values() or decisions.has_absent_rasters()
    if not (is_affected or "split_change" in changed):
        return False
    decisions.decide_splits()
    return True


def _end_withdrawn(revision: Revision, combined: Combined) -> None:
    """Leave out rasters whose bytes one side withdrew, and take the second side's withdrawals over."""
    withdrawn = {side: revision.fetch_rows(_WITHDRAWN.format(side)) for side in (FIRST, SECOND)}
    md5s = sorted({row[0] for rows in withdrawn.values() for row in rows})
    if not md5s:
        return
    query = (
        "UPDATE decision_raster_change SET chosen = 'none' WHERE raster_id IN "
        "(SELECT raster_id FROM version_raster_change WHERE side IN ('first', 'second') "
        "AND md5 IN (SELECT unnest($md5s::VARCHAR[])))"
    )
    revision.connection.execute(query, {"md5s": md5s})
    known = {row[0] for row in withdrawn[FIRST]}
    chips = revision.fetch_rows((_FOLDER / "withdrawn_chips.sql").read_text())
    if new := sorted({row for row in (*withdrawn[SECOND], *chips) if row[0] not in known}):
        names = ("md5", "raster_id", "path", "sha256", "size")
        columns = dict(zip(names, map(list, zip(*new, strict=True)), strict=True))
        combined.rows["withdrawn_file"] = make_row_table("withdrawn_file", columns)


def _merge_removals(revision: Revision, sides: MergeSides, take: Take, combined: Combined) -> set[str]:
    """Return the rasters that recipes leave out after the merge, among those of which sides say something."""
    stage_removals(revision)
    by_raster: dict[str, dict[str, bool]] = {}
    for raster_id, side, is_remembered in revision.fetch_rows("FROM removal ORDER BY ALL"):
        by_raster.setdefault(raster_id, {})[side] = is_remembered
    removed = set()
    for raster_id, by_side in by_raster.items():
        texts = {side: "true" if value else None for side, value in by_side.items()}
        bases = [texts[name] for name in sides.base_names]
        value, is_conflict = choose_value(bases, texts[sides.ours], texts[sides.their_side], take)
        if is_conflict:
            conflict = Conflict("removal", raster_id, None, None, texts[sides.ours], texts[sides.their_side])
            combined.conflicts.append(conflict)
        if value:
            removed.add(raster_id)
    return removed


def _combine_removals(revision: Revision, removed: Collection[str], combined: Combined) -> None:
    """List the removals that the first side does not remember, and those that it alone remembers."""
    before = {
        raster_id
        for (raster_id,) in revision.fetch_rows("SELECT raster_id FROM removal WHERE side = 'first' AND is_remembered")
    }
    query = "SELECT raster_id FROM merged_raster WHERE raster_id IN (SELECT unnest($ids::VARCHAR[]))"
    present = {raster_id for (raster_id,) in revision.fetch_rows(query, {"ids": sorted({*removed, *before})})}
    combined.payload["remembered"] = sorted(set(removed) - before - present)
    combined.payload["forgotten"] = sorted(before - set(removed) - present)


def _combine_recipes(recipes: CombinedRecipes, combined: Combined) -> None:
    combined.payload |= {"recipes": recipes.make_records(), "removed_recipes": recipes.removed}
    combined.conflicts += recipes.conflicts
    if (rows := make_input_rows(recipes.recorded)) is not None:
        combined.rows["recipe_input"] = rows


def make_input_rows(recipes: Mapping[str, RecipeState]) -> "pa.Table | None":
    """Return the rows of the inputs of recipes; None: they have none."""
    rows = [
        (name, *key, None if geometry is None else bytes.fromhex(geometry), crs)
        for name, state in sorted(recipes.items())
        for key, (geometry, crs) in state.inputs.items()
    ]
    if not rows:
        return None
    names = ("recipe", "subject", "object_id", "geometry", "crs")
    return make_row_table("recipe_input", dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def _combine_columns(facts: Mapping[str, SideFacts], sides: MergeSides, take: Take, combined: Combined) -> None:
    merged = merge_user_columns(facts, sides, take)
    combined.conflicts += merged.conflicts
    combined.payload |= make_column_payload(facts[FIRST].columns, merged.types, combined.rows)


def make_column_payload(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]], rows: Mapping[str, object]
) -> dict[str, Any]:
    """Return the declared and the dropped columns that lead from the columns `before` to those `after`."""
    plans = {
        subject: plan_columns(before[subject], after[subject], has_rows=f"{subject}_change" in rows)
        for subject in ("feature", "raster")
    }
    declared, dropped = ({subject: plan[index] for subject, plan in plans.items()} for index in (0, 1))
    return {"columns": ObjectColumns(**declared), "dropped_columns": DroppedColumns(**dropped)}  # type: ignore[arg-type]


def _combine_tags(facts: Mapping[str, SideFacts], sides: MergeSides, take: Take, combined: Combined) -> None:
    """List the tags of the second side; one name for two revisions is a conflict."""
    first, second = facts[FIRST].tags, facts[SECOND].tags
    chosen_side = sides.ours if take == "ours" else sides.their_side
    tags: list[MergedTag] = []
    for name, tag in sorted(second.items()):
        own = first.get(name)
        if own is not None and own.digest != tag.digest:
            ours, theirs = (show_tag(facts[side].tags[name]) for side in (sides.ours, sides.their_side))
            combined.conflicts.append(Conflict("tag", name, None, None, ours, theirs))
        if own is None or (own.digest != tag.digest and chosen_side == SECOND):
            tags.append(tag)
    combined.payload["tags"] = tags


def show_tag(tag: MergedTag) -> str:
    """Return a tag as JSON text."""
    return canonical_json({name: getattr(tag, name) for name in tag.__struct_fields__})


def _check_collections(
    revision: Revision, facts: Mapping[str, SideFacts], recipes: CombinedRecipes, sides: MergeSides
) -> None:
    """Raise if a name would be both a collection of added rasters and a recipe of chips."""
    kinds = {name: state.kind for name, state in facts[FIRST].recipes.items()}
    kinds |= {name: state.kind for name, state in recipes.recorded.items()}
    cuts = sorted(name for name, kind in kinds.items() if kind.startswith("cut ") and name not in recipes.removed)
    if not cuts:
        return
    query = (_FOLDER / "clashing_collections.sql").read_text()
    if clashing := revision.fetch_rows(query, {"names": cuts, "common": sides.common}):
        raise ConflictError(
            f"'{clashing[0][0]}' would be a collection of added rasters and a recipe of chips. Remove one on its "
            "branch, and add it again under another name."
        )

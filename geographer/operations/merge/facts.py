"""Facts of each side: recipes with their inputs, user columns and tags, which events say beside their rows."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.diff.patch.build import open_position
from geographer.diff.patch.model import RECIPE
from geographer.diff.patch.revision_values import read_recipe_versions
from geographer.operations.merge.events import MergedTag
from geographer.operations.merge.sides import MergeSides
from geographer.storage.database.connection import run_script
from geographer.storage.events.payload import EventPayload, list_payload_classes, parse_payload
from geographer.storage.queries.revision import Revision, choose_common_type

_FOLDER: Final = Path(__file__).parent
_SETTINGS: Final = ("dtype", "bands", "maker")
_ORDERS: Final = "SELECT name, generation, added_by, place FROM state.recipe WHERE is_current(valid_from, valid_to)"
_EVENTS: Final = (
    "SELECT side, position, event.generation, side_event.digest, event.kind, version, payload FROM side_event "
    "JOIN log.event AS event USING (event_key) ORDER BY side, position"
)
_INPUTS: Final = (
    "SELECT side, position, recipe, subject, object_id, lower(hex(geometry)), crs FROM log.recipe_input "
    "JOIN side_event USING (event_key) ORDER BY side, position, ordinal"
)
Subject = str
RecipeOrder = tuple[int, str, int]
InputKey = tuple[str, str]
"""The subject ('feature', 'raster' or 'box') and the id of an input."""


class RecipeState(NamedTuple):
    """A recipe of a side.

    Attributes:
        kind: Its kind.
        parameters: The parameters, each as canonical JSON.
        form: What all its labels share, as events record it; None: nothing is recorded.
        order: Generation and digest of the event that created it, and its place there.
        inputs: What selectors chose, and boxes with WKB in hex and CRS, in order.
    """

    kind: str
    parameters: Mapping[str, str]
    form: Mapping[str, Any] | None
    order: RecipeOrder
    inputs: Mapping[InputKey, tuple[str | None, str | None]]


@dataclass(slots=True)
class SideFacts:
    """What the events of a side, up to its last one, say beside their rows; tags are those after the common events."""

    recipes: dict[str, RecipeState] = field(default_factory=dict)
    columns: dict[Subject, dict[str, str]] = field(default_factory=dict)
    tags: dict[str, MergedTag] = field(default_factory=dict)


def read_side_facts(revision: Revision, sides: MergeSides) -> dict[str, SideFacts]:
    """Return the facts of each side, and stage `common_removal`: the removals remembered at the common position."""
    common = read_facts_at(revision, sides.common)
    inputs: dict[tuple[str, int], dict[str, dict[InputKey, tuple[str | None, str | None]]]] = defaultdict(dict)
    for side, position, recipe, *key, geometry, crs in revision.fetch_rows(_INPUTS):
        inputs[side, position].setdefault(recipe, {})[key[0], key[1]] = (geometry, crs)
    names = [side for (side,) in revision.fetch_rows("FROM side_name")]
    facts = {side: _copy_facts(common) for side in names}
    for side, position, generation, digest, kind, version, payload in revision.fetch_rows(_EVENTS):
        content = parse_canonical_json(payload)
        event = parse_payload(kind, version, content)
        _add_recipes(facts[side], event, (generation, digest), content, inputs.get((side, position), {}))
        _add_columns(facts[side].columns, event)
        tags = [*event.iter_merged_tags(), *([event.recorded_tag] if event.recorded_tag else [])]
        for tag in tags:
            texts = (tag.digest, tag.content_digest, tag.merkle_root, tag.version)
            facts[side].tags[tag.tag] = MergedTag(tag.tag, tag.position, *texts)
    return facts


def stage_removals(revision: Revision) -> None:
    """Create `removal`: the rasters that recipes leave out on each side, of those in which the sides may differ."""
    classes = list_payload_classes()
    values = {
        "kinds": [cls.kind for cls in classes if cls.is_remembered],
        "listing_kinds": [cls.kind for cls in classes if cls.lists_removals],
    }
    run_script(revision.connection, (_FOLDER / "removals.sql").read_text(), values)


def read_facts_at(revision: Revision, common: int) -> SideFacts:
    """Return the facts at a position of the revision's chain, without tags, and stage `common_removal`."""
    facts = SideFacts(columns={"feature": {}, "raster": {}})
    with open_position(revision, common) as opened:
        versions = read_recipe_versions(opened)
        orders = {name: (generation, digest, place) for name, generation, digest, place in opened.fetch_rows(_ORDERS)}
        opened.connection.execute(
            "CREATE OR REPLACE TEMP TABLE common_removal AS SELECT raster_id FROM remembered_removal"
        )
        facts.columns = {subject: opened.list_user_columns(subject) for subject in ("feature", "raster")}
    inputs: dict[str, dict[InputKey, tuple[int, str | None, str | None]]] = defaultdict(dict)
    for (table, key), version in versions.items():
        if table == "recipe_input":
            place = version.order[1] if version.order else 0
            geometry = version.values["geometry"]
            inputs[key[0]][key[1], key[2]] = (place, geometry and _to_hex(geometry), version.values["crs"])
    for (table, key), version in versions.items():
        if table == RECIPE:
            own = sorted(inputs[key[0]].items(), key=lambda item: (item[1][0], item[0]))
            facts.recipes[key[0]] = RecipeState(
                version.values["kind"],
                _split_parameters(version.values["parameters"]),
                version.values["form"],
                orders[key[0]],
                {input_key: (geometry, crs) for input_key, (_, geometry, crs) in own},
            )
    return facts


def _copy_facts(facts: SideFacts) -> SideFacts:
    columns = {subject: dict(types) for subject, types in facts.columns.items()}
    return SideFacts(dict(facts.recipes), columns, dict(facts.tags))


def _add_recipes(
    facts: SideFacts,
    event: EventPayload,
    created: tuple[int, str],
    content: Mapping[str, Any],
    inputs: Mapping[str, Mapping[InputKey, tuple[str | None, str | None]]],
) -> None:
    """Apply what an event says of recipes: those that it removes, records, and adds inputs to."""
    for name in event.iter_removed_recipes():
        facts.recipes.pop(name, None)
    recorded = set()
    forms = {item["name"]: item.get("form") for item in content.get("recipes", ()) if isinstance(item, Mapping)}
    for place, record in enumerate(event.iter_recipes()):
        recorded.add(record.name)
        known, new = facts.recipes.get(record.name), {**inputs.get(record.name, {})}
        if known is not None and not any(subject == "box" for subject, _ in new):
            new |= {key: value for key, value in known.inputs.items() if key[0] == "box"}
        form = forms.get(record.name) or (_select_form(content) if event.kind == "labels_made" else None)
        order = event.find_recipe_order(record.name) or (*created, place)
        facts.recipes[record.name] = RecipeState(
            record.kind,
            _split_parameters(record.parameters),
            form or (known.form if known else None),
            min(order, known.order) if known else order,
            new,
        )
    for name in inputs.keys() - recorded:
        if (known := facts.recipes.get(name)) is not None:
            facts.recipes[name] = known._replace(inputs={**known.inputs, **inputs[name]})


def _add_columns(columns: dict[Subject, dict[str, str]], event: EventPayload) -> None:
    for subject, name, column_type in event.iter_user_columns():
        if column_type is None:
            columns[subject].pop(name, None)
        else:
            columns[subject][name] = choose_common_type([*{column_type, columns[subject].get(name, column_type)}])


def _split_parameters(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: canonical_json(value) for name, value in parameters.items()}


def join_parameters(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return parameters from their JSON texts."""
    return {name: json.loads(text) for name, text in parameters.items()}


def _select_form(content: Mapping[str, Any]) -> dict[str, Any] | None:
    return {name: content[name] for name in _SETTINGS if name in content} or None


def _to_hex(base64_text: str) -> str:
    from base64 import b64decode

    return b64decode(base64_text).hex()

"""Why: where an object of a revision comes from, and what made it as it is, in sentences and as facts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from geographer.base.errors import NotFoundError
from geographer.base.text import format_count, quote_start
from geographer.outputs.history import ObjectName, list_meanings, parse_object
from geographer.outputs.why_sentences import (
    SHOWN_DIGEST,
    choose_was,
    describe_assignment,
    describe_change,
    describe_chip,
    describe_cut,
    describe_event,
    describe_origin,
    describe_parameters,
    describe_part,
    list_names,
    pluralize_verb,
)
from geographer.planning.label_files import LABEL_FILES, find_label_file
from geographer.storage.queries.object_changes import (
    ChangeEvent,
    Role,
    fetch_events,
    fetch_object_rows,
    find_object_rows,
    find_origin_event,
)
from geographer.storage.queries.renamings import find_content_position
from geographer.storage.queries.revision import Revision

Facts = dict[str, Any]

ComponentFinder = Callable[[str, Mapping[str, Any]], Mapping[str, int]]
"""Returns the component of each raster of a collection, by the parameters of a split."""

_FOLDER: Final = Path(__file__).parent
_MAX_NAMES: Final = 3
_MAX_SOURCES: Final = 100
_PRODUCT_FACTS: Final = (
    "provider",
    "product_collection",
    "product_id",
    "acquisition",
    "platform",
    "cloud_cover",
    "search",
)
_PARTS: Final = (
    "SELECT raster_id, part FROM current_split WHERE split = $split AND list_contains($ids::VARCHAR[], raster_id)"
)


def explain_object(revision: Revision, text: str, find_components: ComponentFinder) -> Facts:
    """Return the facts about an object of a revision, with `sentences` that say them.

    Raises:
        NotFoundError: the revision has no such object.
    """
    explainer = _Explainer(revision, find_components)
    facts = next(filter(None, map(explainer.explain_name, list_meanings(text))), None)
    if facts is None:
        name = parse_object(text)
        subject = name.subject or "feature or raster"
        raise NotFoundError(
            f"no {subject} '{quote_start(name.name)}' at @{revision.position}. geographer history finds objects of "
            "other revisions; other objects are label:NAME/RASTER, class:NAME, recipe:NAME or split:NAME."
        )
    return facts


class _Explainer:
    """Collects the facts about objects of one revision."""

    def __init__(self, revision: Revision, find_components: ComponentFinder) -> None:
        self._revision, self._find_components = revision, find_components
        rows = revision.fetch_rows("SELECT name, kind, parameters, position FROM recipes")
        self._recipes = {
            name: {"name": name, "kind": kind, "parameters": json.loads(parameters), "position": position}
            for name, kind, parameters, position in rows
        }

    def explain_name(self, name: ObjectName) -> Facts | None:
        """Return the facts about an object, or None if the revision has no such object."""
        if name.subject == "class":
            return self._explain_class(name.name)
        if name.subject in ("recipe", "split"):
            return self._explain_recipe(name.name, name.subject)
        if name.subject == "label":
            return self._explain_label(name.name)
        found = [] if name.subject == "raster" else [self._explain_feature(name.name)]
        found += [] if name.subject == "feature" else [self._explain_raster(name.name)]
        known = [facts for facts in found if facts is not None]
        if len(known) == 2:
            sentences = known[0]["sentences"] + known[1]["sentences"]
            return {
                "object": "feature and raster",
                "id": name.name,
                "feature": known[0],
                "raster": known[1],
                "sentences": sentences,
            }
        return known[0] if known else None

    # Features

    def _explain_feature(self, feature_id: str) -> Facts | None:
        row = self._fetch_row("feature_facts.sql", {"id": feature_id})
        if row is None:
            return None
        origin = self._find_origin("feature", feature_id)
        facts: Facts = {
            "object": "feature",
            "id": feature_id,
            "position": self._revision.position,
            **row,
            "origin": origin,
        }
        sentences = [
            f"Feature '{feature_id}' is of class '{row['class']}' and {describe_origin(origin)}.",
            *describe_change(origin),
            f"{format_count(row['contained_by'], 'raster')} contain{pluralize_verb(row['contained_by'])} it, and "
            f"{format_count(row['intersected_by'], 'other')} intersect{pluralize_verb(row['intersected_by'])} it.",
        ]
        chips = row["chips"]
        if chips:
            sentences.append(f"{list_names(chips, 'chip')} {choose_was(len(chips))} cut for it.")
        else:
            sentences.append("No chip was cut for it alone.")
        sentences += [
            f"{format_count(label['rasters'], 'raster')} that show{pluralize_verb(label['rasters'])} it "
            f"{'has' if label['rasters'] == 1 else 'have'} a label '{label['label']}'."
            for label in row["labels"]
        ] or ["No label is on a raster that shows it."]
        return {**facts, "sentences": sentences}

    # Rasters and chips

    def _explain_raster(self, raster_id: str) -> Facts | None:
        row = self._fetch_row("raster_facts.sql", {"id": raster_id})
        if row is None:
            return None
        properties = json.loads(row.pop("properties") or "{}")
        origin = self._find_origin("raster", raster_id, properties)
        is_chip = row["parent_id"] is not None
        facts: Facts = {"object": "chip" if is_chip else "raster", "id": raster_id, "position": self._revision.position}
        for table in ("label", "split"):
            for item in row[f"{table}s"]:
                place = (item[table], raster_id, item["position"])
                item["position"] = find_content_position(self._revision.connection, table, *place)
        facts |= {**row, "origin": origin}
        if is_chip:
            recipe = self._recipes.get(row["recipe"])
            facts |= {"cut_by": recipe, "seed": recipe["parameters"].get("seed") if recipe else None}
            facts["sources"] = self._find_sources(raster_id, row["parent_id"])
            sentences = list(describe_chip(facts))
        else:
            sentences = [f"Raster '{raster_id}' of collection '{row['collection']}' {describe_origin(origin)}."]
            sentences += describe_change(origin)
            sentences += [describe_cut(cut) for cut in row["cuts"]]
            sentences += [] if row["cuts"] else ["No chip is cut from it."]
        shown = row["contained"] + row["intersected"]
        sentences.append(
            f"It shows {format_count(shown, 'feature')}, of which it contains {row['contained']:,}."
            if shown
            else "It shows no feature."
        )
        sentences += [f"Label '{label['label']}' of it was made in @{label['position']}." for label in row["labels"]]
        facts["splits"] = [self._explain_assignment(raster_id, split) for split in row["splits"]]
        sentences += [sentence for split in facts["splits"] for sentence in describe_assignment(split)]
        return {**facts, "sentences": sentences}

    def _find_sources(self, raster_id: str, parent_id: str | None) -> list[Facts]:
        """Return the rasters that a chip was cut from, up to the scene."""
        sources: list[Facts] = []
        seen = {raster_id}
        while parent_id is not None and parent_id not in seen and len(sources) < _MAX_SOURCES:
            seen.add(parent_id)
            row = self._fetch_row("raster_facts.sql", {"id": parent_id})
            if row is None:
                sources.append({"id": parent_id, "is_current": False, "origin": self._find_origin("raster", parent_id)})
                break
            origin = self._find_origin("raster", parent_id, json.loads(row["properties"] or "{}"))
            source = {
                "id": parent_id,
                "is_current": True,
                "collection": row["collection"],
                "parent_id": row["parent_id"],
            }
            sources.append({**source, "recipe": row["recipe"], "origin": origin})
            parent_id = row["parent_id"]
        return sources

    def _explain_assignment(self, raster_id: str, split: Facts) -> Facts:
        """Return a raster's part in a split, and the component that keeps it there."""
        recipe = self._recipes.get(split["split"])
        facts: Facts = {**split, "recipe": recipe, "component": None}
        if recipe is None or recipe["kind"] != "split":
            return facts
        components = self._find_components(recipe["parameters"]["collection"], recipe["parameters"])
        own = components.get(raster_id)
        others = sorted(other for other, number in components.items() if number == own and other != raster_id)
        shared = dict(self._revision.fetch_rows((_FOLDER / "shared_features.sql").read_text(), {"id": raster_id}))
        named = sorted(others, key=lambda other: (other not in shared, other))[:_MAX_NAMES]
        parts = dict(self._revision.fetch_rows(_PARTS, {"split": split["split"], "ids": named}))
        names = [
            {"raster_id": other, "shared_feature": shared.get(other), "is_left_out": parts.get(other, "") is None}
            for other in named
        ]
        facts["component"] = {"others": len(others), "rasters": names} if own is not None else None
        return facts

    # Labels, classes, recipes

    def _explain_label(self, name: str) -> Facts | None:
        label, slash, raster_id = name.partition("/")
        if not slash:
            return self._explain_recipe(label, "label")
        row = self._fetch_row("label_facts.sql", {"label": label, "id": raster_id})
        if row is None:
            return None
        recipe = self._recipes.get(label)
        row["made_at"] = find_content_position(self._revision.connection, "label", label, raster_id, row["made_at"])
        event = self._make_event(row["made_at"])
        facts: Facts = {"object": "label", "id": name, "position": self._revision.position, "label": label}
        facts |= {"raster_id": raster_id, **row, "recipe": recipe, "event": event}
        if recipe and recipe["kind"] == LABEL_FILES:
            return self._explain_added_label(facts, raster_id)
        by = (
            f"recipe '{label}' ({recipe['kind']}) for collection '{recipe['parameters'].get('collection')}'"
            if recipe
            else "a command"
            if event["kind"] == "command_run"
            else "a recipe that was removed"
        )
        sentences = [f"Label '{name}' was made by {by} {describe_event(event)}."]
        if recipe:
            sentences.append(describe_parameters(recipe))
        classes = [
            f"{item['class']} ({item['value']}, {format_count(item['features'], 'feature')})" for item in row["classes"]
        ]
        sentences.append(
            f"The raster shows the classes {', '.join(classes)}." if classes else "The raster shows no feature."
        )
        return {**facts, "sentences": sentences}

    def _explain_added_label(self, facts: Facts, raster_id: str) -> Facts:
        """Return the facts of a label that users added as a file, or that was cut with a chip from such a label."""
        place = (facts["label"], raster_id, facts["sha256"], facts["made_at"])
        file = find_label_file(self._revision.connection, *place)
        source = None if file is None else {"path": file.path, "sha256": file.sha256}
        event = facts["event"]
        if event["kind"] == "chips_cut":
            sentences = [f"Label '{facts['id']}' was cut from the label of the chip's raster {describe_event(event)}."]
        elif file is None:
            sentences = [f"Label '{facts['id']}' was recorded {describe_event(event)}."]
        else:
            digest = f"SHA-256 {file.sha256[:SHOWN_DIGEST]}…"
            added = "in another branch" if file.position is None else describe_event(self._make_event(file.position))
            sentences = [f"Label '{facts['id']}' was taken from file '{file.path}' ({digest}), added {added}."]
            if file.position != facts["made_at"]:
                sentences.append(f"It was last recorded {describe_event(event)}.")
        return {**facts, "source": source, "sentences": [*sentences, describe_parameters(facts["recipe"])]}

    def _explain_class(self, name: str) -> Facts | None:
        row = self._fetch_row("class_facts.sql", {"id": name})
        if row is None:
            return None
        event = self._make_event(row["since"])
        sentences = [
            f"Class '{name}' has the value {row['value']} since {describe_event(event).removeprefix('in ')}.",
            f"{format_count(row['features'], 'feature')} {'is' if row['features'] == 1 else 'are'} of this class.",
        ]
        return {
            "object": "class",
            "id": name,
            "position": self._revision.position,
            **row,
            "event": event,
            "sentences": sentences,
        }

    def _explain_recipe(self, name: str, subject: str) -> Facts | None:
        recipe = self._recipes.get(name)
        if recipe is None or (subject != "recipe" and recipe["kind"].partition(" ")[0] != subject):
            return None
        event, row = self._make_event(recipe["position"]), self._fetch_row("recipe_facts.sql", {"id": name}) or {}
        sentences = [
            f"Recipe '{name}' ({recipe['kind']}) was recorded {describe_event(event)}.",
            describe_parameters(recipe),
        ]
        made = [format_count(row[noun], noun.removesuffix("s")) for noun in ("rasters", "labels") if row[noun]]
        made += [
            f"{describe_part(part['part'])} has {format_count(part['rasters'], 'raster')}" for part in row["parts"]
        ]
        sentences.append(
            f"Of it the revision has: {', '.join(made)}." if made else "The revision has nothing that it made."
        )
        return {
            "object": subject,
            "id": name,
            "position": self._revision.position,
            "recipe": recipe,
            "event": event,
            **row,
            "sentences": sentences,
        }

    # Events

    def _find_origin(self, role: Role, object_id: str, properties: Mapping[str, Any] | None = None) -> Facts:
        """Return the event that last added an object, the last one that changed it since, and the source."""
        connection = self._revision.connection
        found = [
            row
            for row in find_object_rows(connection, object_id, [role])[role]
            if row.position <= self._revision.position
        ]
        events = fetch_events(connection, (row.position for row in found))
        rows = fetch_object_rows(connection, object_id, role, found, events)
        events = {at: find_origin_event(connection, event, role, object_id) for at, event in events.items()}
        added = [row[0] for row in rows if row[2] == "added"]
        changed = [row[0] for row in rows if row[2] == "changed" and added and row[0] > added[-1]]
        if not added:
            return {"event": None, "changed": None, "source": None, "changed_source": None}
        event, changed_event = (
            self._make_event(positions[-1], events) if positions else None for positions in (added, changed)
        )
        source, changed_source = (
            self._find_source(object_id, cause, properties or {}) if cause else None for cause in (event, changed_event)
        )
        return {"event": event, "changed": changed_event, "source": source, "changed_source": changed_source}

    def _find_source(self, object_id: str, event: Facts, properties: Mapping[str, Any]) -> Facts | None:
        """Return the file, product or history that an object was added from."""
        payload = json.loads(
            self._revision.fetch_value(
                "SELECT payload FROM log.event WHERE digest = $digest", {"digest": event["digest"]}
            )
            or "{}"
        )
        request = payload.get("request") or {}
        if event["kind"] == "rasters_downloaded":
            recipe, searches, index = (
                payload.get("recipe") or {},
                payload.get("searches") or [],
                properties.get("search"),
            )
            product = {name: properties[name] for name in _PRODUCT_FACTS if name in properties}
            search = searches[index] if isinstance(index, int) and 0 <= index < len(searches) else None
            return {"recipe": recipe.get("name"), **product, "found_by": search}
        if event["kind"] in ("dataset_imported", "collection_imported"):
            history = payload.get("history") or {}
            return {
                "dataset": request.get("path"),
                "history": history.get("digest"),
                "history_position": history.get("position"),
            }
        if event["kind"] == "command_run":
            code = payload.get("code") or {}
            return {"command": " ".join(request.get("command") or []), "commit": code.get("commit")}
        if payload.get("source"):
            return {"file": payload["source"]}
        stem = object_id.rpartition("/")[2]
        paths = [path for path in request.get("paths") or [] if isinstance(path, str)]
        named = [path for path in paths if Path(path).stem == stem] or (paths if len(paths) == 1 else [])
        return {"file": named[0]} if named else None

    def _make_event(self, position: int, events: Mapping[int, ChangeEvent] | None = None) -> Facts:
        event = (events or fetch_events(self._revision.connection, [position]))[position]
        names = ("position", "kind", "recorded_at", "author", "message", "digest")
        return {name: getattr(event, name) for name in names}

    def _fetch_row(self, file_name: str, parameters: dict[str, Any]) -> Facts | None:
        """Return the only row that a query makes, by the names of its columns."""
        rows = self._revision.fetch_arrow((_FOLDER / file_name).read_text(), parameters).to_pylist()
        return dict(rows[0]) if rows else None

"""Sentences that say where an object comes from, and what made it as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from geographer.base.text import format_count

Facts = Mapping[str, Any]

_MAX_NAMES: Final = 3
SHOWN_DIGEST: Final = 12
_HIDDEN_PARAMETERS: Final = frozenset({"seed", "source", "collection"})
"""Parameters that the first words of the sentence name."""
_ROOT_SENTENCES: Final = {
    "rasters_downloaded": "was downloaded",
    "rasters_added": "was added",
    "catalogue_added": "was added as a footprint",
    "features_added": "was added",
    "features_synced": "was added by a sync",
    "annotations_imported": "was added from annotations",
    "dataset_imported": "was imported from another dataset",
    "collection_imported": "was imported from a collection of another dataset",
    "geographer_imported": "was imported from a directory of GeoGrapher 1.0",
    "patch_applied": "was added by a patch",
    "command_run": "was made by a command",
    "rasters_restored": "was restored",
    "features_restored": "was restored",
}


def describe_event(event: Facts) -> str:
    """Return which event, by whom, when and why."""
    message = f': "{event["message"]}"' if event["message"] else ""
    return f"in @{event['position']} ({event['kind']}) by {event['author']} on {event['recorded_at']:%Y-%m-%d}{message}"


def describe_origin(origin: Facts) -> str:
    """Return how an object came into the dataset: the file, product or history, and the event."""
    event, source = origin["event"], origin["source"] or {}
    if event is None:
        return "was never added, as far as the log can be read"
    verb = _ROOT_SENTENCES.get(event["kind"], "was recorded")
    return f"{verb}{_describe_source(source)} {describe_event(event)}"


def _describe_source(source: Facts) -> str:
    """Return the file, product or history that an object came from, after a space, or nothing."""
    words = ""
    if "command" in source:
        words += f", '{source['command']}',"
    if "file" in source:
        words += f" from '{source['file']}'"
    if source.get("history"):
        words += f" (history {source['history'][:SHOWN_DIGEST]})"
    if "product_id" in source:
        words += f" as product '{source['product_id']}' of {source.get('provider', 'an unknown provider')}"
    if source.get("product_collection"):
        words += f", collection {source['product_collection']},"
    if source.get("recipe"):
        words += f" by recipe '{source['recipe']}'"
    if found_by := source.get("found_by"):
        box = ", ".join(f"{bound:g}" for bound in found_by["box"])
        words += f", whose search of the box {box} found {format_count(found_by['found'], 'product')},"
    return words


def describe_change(origin: Facts) -> list[str]:
    """Return when an object was last changed, and from which file, in at most one sentence."""
    if origin["changed"] is None:
        return []
    source = _describe_source(origin["changed_source"] or {}).rstrip(",")
    return [f"It was last changed{f',{source},' if source else ''} {describe_event(origin['changed'])}."]


def describe_part(part: str | None) -> str:
    """Return the name of a part of a split; None: the rasters that it leaves out."""
    return f"part '{part}'" if part is not None else "(left out)"


def describe_cut(cut: Facts) -> str:
    """Return how many chips a recipe cut from a raster."""
    count = cut["chips"]
    return f"{format_count(count, 'chip')} {choose_was(count)} cut from it by recipe '{cut['recipe']}'."


def describe_chip(facts: Facts) -> list[str]:
    """Return what a chip was cut for and from, by which recipe, and where its scene comes from."""
    window = facts["window"]
    cause = f"for feature '{facts['feature_id']}'" if facts["feature_id"] is not None else "for no single feature"
    last_column, last_row = window["col"] + window["width"] - 1, window["row"] + window["height"] - 1
    sentences = [
        f"Chip '{facts['id']}' was cut {cause} from '{facts['parent_id']}': columns {window['col']} to {last_column} "
        f"and rows {window['row']} to {last_row} of its pixels."
    ]
    event = facts["origin"]["event"]
    if event and event["kind"] != "chips_cut":
        sentences.append(f"It {describe_origin(facts['origin'])}.")
    elif event:
        sentences.append(f"Recipe '{facts['recipe']}' cut it {describe_event(event)}.")
    sentences += describe_change(facts["origin"])
    recipe = facts["cut_by"]
    sentences.append(describe_parameters(recipe) if recipe else f"Recipe '{facts['recipe']}' was removed since.")
    for source in facts["sources"]:
        gone = "" if source["is_current"] else ", which this revision no longer has,"
        if source.get("parent_id") is not None:
            sentences.append(
                f"'{source['id']}' is itself a chip of '{source['parent_id']}', cut by recipe '{source['recipe']}'."
            )
        else:
            sentences.append(f"Scene '{source['id']}'{gone} {describe_origin(source['origin'])}.")
    return sentences


def describe_parameters(recipe: Facts) -> str:
    """Return a recipe's kind and parameters."""
    parameters = recipe["parameters"]
    shown = [
        f"{name} {_format_value(value)}"
        for name, value in parameters.items()
        if value not in (None, [], {}) and name not in _HIDDEN_PARAMETERS
    ]
    seed = f", seed {parameters['seed']}" if "seed" in parameters else ""
    scope = f" on collection '{source}'" if (source := parameters.get("source") or parameters.get("collection")) else ""
    return f"The recipe is {recipe['kind']}{scope}{seed}" + (f", with {', '.join(shown)}." if shown else ".")


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def describe_assignment(split: Facts) -> list[str]:
    """Return the part of a raster in a split, and what binds it there."""
    recipe, component = split["recipe"], split["component"]
    is_left_out = split["part"] is None
    place = "left out" if is_left_out else f"in {describe_part(split['part'])}"
    sentences = [f"It is {place} of split '{split['split']}', as @{split['position']} decided."]
    if recipe is None:
        return [*sentences, f"The recipe '{split['split']}' was removed since."]
    parameters = recipe["parameters"]
    stratified = "stratified by class" if parameters.get("stratify") else "not stratified"
    sentences[0] = f"{sentences[0][:-1]} ({stratified}, seed {parameters.get('seed', 0)})."
    binding = "a feature" if parameters.get("by") == "object" else "a feature or pixels"
    if parameters.get("buffer"):
        binding += f", or lies within {parameters['buffer']:g} m,"
    if component is None:
        return [*sentences, f"It is no longer in collection '{parameters['collection']}', which the split assigns."]
    if not component["others"]:
        return [
            *sentences,
            f"Nothing binds it there: no other raster of '{parameters['collection']}' shares {binding} with it.",
        ]
    names = [_describe_member(member) for member in component["rasters"]]
    more = component["others"] - len(names)
    listed = ", ".join(names) + (f" and {more:,} more" if more else "")
    count = format_count(component["others"], "other raster")
    bound = "would have to be in one part with it" if is_left_out else "must be in the same part"
    return [*sentences, f"{count} {bound}, as each shares {binding} with another of them: {listed}."]


def _describe_member(member: Facts) -> str:
    shared = member["shared_feature"]
    left_out = f" {describe_part(None)}" if member["is_left_out"] else ""
    return f"'{member['raster_id']}'{left_out}" + (f" (shows feature '{shared}', too)" if shared is not None else "")


def list_names(names: list[str], noun: str) -> str:
    """Return how many names there are, and the first ones."""
    shown = ", ".join(f"'{name}'" for name in names[:_MAX_NAMES])
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return f"{format_count(len(names), noun)} ({shown}{more})"


def pluralize_verb(count: int) -> str:
    """Return the ending of a verb after a count."""
    return "s" if count == 1 else ""


def choose_was(count: int) -> str:
    """Return 'was' or 'were' for a count."""
    return "was" if count == 1 else "were"

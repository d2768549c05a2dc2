"""Sentences about a release, made from its facts: sampling, balance, spatial bias, provenance, limits, methods."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from geographer.base.text import format_count
from geographer.outputs.release.facts import (
    ClassFacts,
    CollectionFacts,
    EventFacts,
    LabelFacts,
    PartFacts,
    ReleaseFacts,
)
from geographer.planning.label_files import LABEL_FILES

_SHOWN_DIGEST: Final = 12
_MAX_COMMAND: Final = 200
_RARE: Final = 0.05
_MAX_NAMES: Final = 12
_TITLE_NAMES: Final = 3
"""How many classes a title names that the authors did not write."""
_QUIET_PARAMETERS: Final = frozenset({"source", "collection", "size", "seed"})


def join_words(words: Iterable[str]) -> str:
    """Return words as a list in English: `a, b and c`."""
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def format_size(size: int) -> str:
    """Return a number of bytes with a decimal unit."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB", "PB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def make_title(facts: ReleaseFacts) -> str:
    """Return the title: the described one, or the classes and numbers."""
    names = [item.name for item in facts.classes if item.features]
    rest = [format_count(len(names) - _TITLE_NAMES, "more class")] if len(names) > _TITLE_NAMES else []
    subject = join_words([*names[:_TITLE_NAMES], *rest]) if names else "features"
    described = " ".join(facts.description.find_text("title").split())
    return described or f"Remote-sensing dataset of {subject} ({format_count(facts.features, 'feature')})"


def make_summary(facts: ReleaseFacts) -> str:
    """Return what the dataset is, in some sentences: the described summary, then the numbers."""
    sources = [item for item in facts.collections if item.is_source]
    chips = sum(item.chips for item in facts.collections)
    rasters = sum(item.rasters for item in sources)
    sentences = [
        " ".join(facts.description.find_text("summary").split()),
        f"{format_count(facts.features, 'feature')} of {format_count(len(facts.classes), 'class')}"
        f"{_list_classes(facts.classes)}, {format_count(rasters, 'source raster')} and {format_count(chips, 'chip')}.",
        *(describe_labels(item) for item in facts.labels),
        *(describe_split(facts, name) for name in facts.list_splits()),
    ]
    return " ".join(filter(None, sentences))


def _list_classes(classes: list[ClassFacts]) -> str:
    shown = [f"{item.name} {item.features:,}" for item in classes[:_MAX_NAMES]]
    more = f", and {len(classes) - _MAX_NAMES} more" if len(classes) > _MAX_NAMES else ""
    return f" ({', '.join(shown)}{more})" if shown else ""


def describe_collection(item: CollectionFacts) -> str:
    """Return what a collection of rasters holds."""
    origin = f", cut from {join_words(item.parents)} by recipe '{item.recipe}'" if item.chips else ""
    origin += ", made by an outside step" if item.is_made_by_command else ""
    facts = [
        f"{_format_range(item.widths)} by {_format_range(item.heights)} pixels" if item.widths else "",
        f"{_format_range(item.bands)} band{'' if item.bands == [1] else 's'} of {join_words(item.dtypes)}"
        if item.bands
        else "",
        f"{item.resolution:g} m on the ground (median)" if item.resolution else "",
        f"CRS {', '.join(_shorten_crs(crs) for crs in item.crs[:_MAX_NAMES])}" if item.crs else "",
        f"acquired {item.first:%Y-%m-%d} to {item.last:%Y-%m-%d}" if item.first and item.last else "",
        f"from {join_words(item.sources)}" if item.sources else "",
        f"{item.references:,} recorded in place, without bytes here" if item.references else "",
        f"{format_count(item.footprints, 'footprint')} without pixels" if item.footprints else "",
    ]
    size = f" ({format_size(item.bytes)})" if item.bytes else ""
    return f"{item.name}: {format_count(item.rasters, 'raster')}{size}{origin}; {', '.join(filter(None, facts))}."


def _shorten_crs(crs: str) -> str:
    if crs.startswith("EPSG:"):
        return crs
    name = crs.partition('"')[2].partition('"')[0]
    return name if name and name != "unknown" else "a custom CRS"


def _format_range(values: list[int]) -> str:
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"


def describe_labels(item: LabelFacts) -> str:
    """Return what the labels of one name are."""
    drawn = f", {format_count(item.objects, 'object')}" if item.objects is not None else ""
    kind = "added as files" if item.kind == LABEL_FILES else (item.kind or "label").removeprefix("label ")
    return (
        f"Labels '{item.name}' ({kind}) of {join_words(item.collections)}: {format_count(item.files, 'file')}{drawn}."
    )


def describe_split(facts: ReleaseFacts, split: str) -> str:
    """Return the parts of a split with their sizes."""
    parts = [part for part in facts.parts if part.split == split]
    words = [f"{part.part or 'left out'} {format_count(part.rasters, 'raster')}" for part in parts]
    return f"Split '{split}': {join_words(words)}."


def describe_sampling(facts: ReleaseFacts) -> str:
    """Return how the samples were selected: the recipes of cuts, labels and splits with all that was chosen."""
    words = [_describe_command(event) for event in facts.events if event.command]
    words += [_describe_recipe(name, kind, parameters) for name, kind, parameters in facts.recipes]
    return " ".join(words) if words else "The samples are the rasters and features as they were added; nothing was cut."


def _describe_command(event: EventFacts) -> str:
    """Return what an outside step was, and what it made."""
    command = event.command or {}
    text = " ".join(map(str, command.get("words") or ["(not recorded)"])).replace("\n", " ")
    code = f" (code {command['commit'][:_SHOWN_DIGEST]})" if command.get("commit") else ""
    made = f"labels '{command['label']}'" if command.get("label") else f"collection '{command.get('collection')}'"
    return f"Outside step '{text[:_MAX_COMMAND]}'{code} of event {event.digest[:_SHOWN_DIGEST]} made {made}."


def _describe_recipe(name: str, kind: str, parameters: Mapping[str, Any]) -> str:
    scope = parameters.get("source") or parameters.get("collection")
    size = parameters.get("size")
    unit = {"px": "pixels", "m": "metres"}.get(size[2], size[2]) if isinstance(size, list) and len(size) > 2 else ""
    clauses = [
        f"on collection '{scope}'" if scope else "",
        f"{size[0]} by {size[1]} {unit}" if unit and size else "",
        *(
            f"{key.replace('_', ' ')} {_format_value(value)}"
            for key, value in sorted(parameters.items())
            if key not in _QUIET_PARAMETERS and value not in (None, [], {}, "", False)
        ),
        f"seed {parameters['seed']}" if "seed" in parameters else "",
    ]
    return f"{kind.capitalize()} '{name}': {', '.join(filter(None, clauses))}."


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def describe_balance(facts: ReleaseFacts) -> str:
    """Return the class balance: the shares of the classes, and how they differ between the parts of each split."""
    counts = [item for item in facts.classes if item.features]
    if not counts:
        return "There are no features, so there is no class balance."
    total = sum(item.features for item in counts)
    largest = max(counts, key=lambda item: item.features)
    smallest = min(counts, key=lambda item: item.features)
    shares = ", ".join(f"{item.name} {item.features / total:.1%}" for item in counts[:_MAX_NAMES])
    ratio = largest.features / smallest.features
    sentences = [f"Share of the {total:,} features by class: {shares}."]
    if ratio > 1:
        sentences.append(f"The largest class has {ratio:.3g} times as many features as the smallest.")
    for split in facts.list_splits():
        parts = [part for part in facts.parts if part.split == split and part.part is not None and part.features]
        sentences += [f"In split '{split}', {_describe_part_balance(part)}." for part in parts]
    return " ".join(sentences)


def _describe_part_balance(part: PartFacts) -> str:
    shares = [f"{name} {count / part.features:.1%}" for name, count in [*part.classes.items()][:_MAX_NAMES]]
    return f"{part.part} shows {format_count(part.features, 'feature')}: {', '.join(shares)}"


def describe_spatial_bias(facts: ReleaseFacts) -> str:
    """Return how the features are spread over the globe, measured in cells of one degree."""
    spread = facts.spread
    if spread.lonlat_bounds is None or not spread.features or spread.fullest is None:
        return "No feature has a place on the globe, so spatial bias cannot be measured."
    west, south, east, north = spread.lonlat_bounds
    crossing = ", across the antimeridian" if west > east else ""
    shares = [count / spread.features for count in (spread.fullest, spread.northern, spread.tropical)]
    return (
        f"The {format_count(spread.features, 'feature')} lie between longitudes {west:g} and {east:g}{crossing} and "
        f"latitudes {south:g} and {north:g}, in {format_count(spread.cells, 'cell')} of one degree; the fullest cell "
        f"has {shares[0]:.1%} of them. {shares[1]:.1%} lie north of the equator, {shares[2]:.1%} between the tropics; "
        f"the median latitude is {spread.median_lat:.2f}."
    )


def list_limits(facts: ReleaseFacts) -> list[str]:
    """Return the limits: those that the data show, then those that the authors describe."""
    total = sum(item.features for item in facts.classes) or 1
    rare = [f"{item.name} ({item.features:,})" for item in facts.classes if 0 < item.features / total < _RARE]
    empty = [item.name for item in facts.classes if not item.features]
    unseen = sum(item.unseen for item in facts.classes)
    tiny = sum(item.tiny or 0 for item in facts.labels)
    undated = [item.name for item in facts.collections if item.is_source and item.rasters and item.first is None]
    unbound = [item.name for item in facts.collections if item.references]
    left_out = sum(part.rasters for part in facts.parts if part.part is None)
    limits = [
        f"Rare classes, below {_RARE:.0%} of the features: {', '.join(rare)}." if rare else "",
        f"Classes without a feature: {', '.join(empty)}." if empty else "",
        f"{format_count(unseen, 'feature')} of {total:,} are in no raster." if unseen else "",
        f"{format_count(tiny, 'labelled object')} are smaller than four pixels." if tiny else "",
        f"The time of acquisition is not known for collection {join_words(undated)}." if undated else "",
        f"Collection {join_words(unbound)} has rasters that are recorded in place; their bytes are not here."
        if unbound
        else "",
        f"{format_count(left_out, 'raster')} are left out of splits." if left_out else "",
        "" if facts.parts else "The dataset has no split: users who make one must prevent leakage themselves.",
        " ".join(facts.description.find_text("limits").split()),
    ]
    return [limit for limit in limits if limit]


def describe_collection_process(facts: ReleaseFacts) -> str:
    """Return how the data were collected: the events by kind, with authors and dates."""
    kinds: dict[str, int] = {}
    for event in facts.events:
        kinds[event.kind] = kinds.get(event.kind, 0) + 1
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    authors = join_words(dict.fromkeys(event.author for event in facts.events))
    first, last = facts.events[0].recorded_at[:10], facts.events[-1].recorded_at[:10]
    return (
        f"Recorded in {format_count(len(facts.events), 'event')} from {first} to {last} by {authors}: {counts}. "
        "Each event is in the log in the folder history."
    )


def describe_software(facts: ReleaseFacts) -> str:
    """Return the versions of the software that made rows and files."""
    return ", ".join(f"{name} {'/'.join(versions)}" for name, versions in facts.software_versions.items())


def describe_missing_data(facts: ReleaseFacts) -> str:
    """Return how many features no raster shows."""
    unseen = sum(item.unseen for item in facts.classes)
    return (
        f"{unseen:,} of {facts.features:,} features are in no raster." if facts.features else "There are no features."
    )


def write_methods(facts: ReleaseFacts) -> str:
    """Return the methods paragraph of a paper; every figure in it is computed."""
    chips = [item for item in facts.collections if item.chips]
    sources = [item for item in facts.collections if item.is_source]
    sentences = [
        f"The dataset '{make_title(facts)}' (tag {facts.tag.name}, version {facts.tag.version}) has "
        f"{format_count(facts.features, 'feature')}{_list_classes(facts.classes)}.",
        *(f"Source collection {describe_collection(item)}" for item in sources),
        *(f"Chip collection {describe_collection(item)}" for item in chips),
        *(f"Collection {describe_collection(item)}" for item in facts.collections if item.is_made_by_command),
        *(describe_labels(item) for item in facts.labels),
        describe_sampling(facts),
        *(describe_split(facts, name) for name in facts.list_splits()),
        describe_balance(facts),
        describe_spatial_bias(facts),
        f"All steps are recorded as events and were made with {describe_software(facts)}.",
        f"The revision has the event digest {facts.tag.digest} and the content digest {facts.tag.content_digest}.",
    ]
    return " ".join(sentences)

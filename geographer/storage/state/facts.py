"""Facts: what events say beside their rows, staged as temporary tables from which SQL derives the state."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import duckdb

from geographer.base.canonical_json import canonical_json, parse_canonical_json
from geographer.storage.events import Event
from geographer.storage.events.payload import list_payload_classes, parse_payload
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.read import is_supported_event, make_version_error


class EventFact(NamedTuple):
    """An event; `keeps_row_order` is true if the order of its rows is the order in which it added its objects."""

    position: int
    digest: str
    keeps_row_order: bool
    generation: int


class UserColumnFact(NamedTuple):
    """A user column of features or rasters (`subject`) that an event adds or changes, or drops (type None)."""

    subject: str
    name: str
    type: str | None
    ordinal: int
    position: int


class RecipeFact(NamedTuple):
    """A recipe that an event records; `parameters` is canonical JSON.

    `generation`, `added_by` (a digest) and `place` say which event created it, and where there: this event, unless a
    merge brings the recipe from another branch.
    """

    name: str
    kind: str
    parameters: str
    position: int
    ordinal: int
    generation: int
    added_by: str
    place: int


class RecipeRemovalFact(NamedTuple):
    """A recipe that an event removes."""

    name: str
    position: int


class RenamingFact(NamedTuple):
    """A new name of a `class`, `collection` or `recipe` (`subject`), or one that a merge brings (`is_merged`)."""

    subject: str
    old_name: str
    name: str
    position: int
    is_merged: bool = False


class TagFact(NamedTuple):
    """A tag, with the digests and the version number that it records; older ones have no roots or number.

    `tagged_position` and `log_root` are null for a tag that a merge brings from another branch.
    """

    tag: str
    position: int
    tagged_position: int | None
    digest: str
    content_digest: str
    merkle_root: str | None
    version: str | None
    log_root: str | None = None


Fact = EventFact | UserColumnFact | RecipeFact | RecipeRemovalFact | RenamingFact | TagFact

FACT_TABLES: Final[dict[type[Fact], str]] = {
    **{EventFact: "event_fact", UserColumnFact: "user_column_fact", TagFact: "tag_fact"},
    **{RecipeFact: "recipe_fact", RecipeRemovalFact: "recipe_removal_fact", RenamingFact: "renaming_fact"},
}
"""The temporary table of each class of facts; its columns are the fields."""

_RENAMING_EVENTS: Final = (
    "SELECT digest, kind, version, payload FROM log.event WHERE list_contains($kinds::VARCHAR[], kind) "
    "ORDER BY generation, digest"
)
_SQL_TYPES: Final = {int: "BIGINT", int | None: "BIGINT", bool: "BOOLEAN"}


def stage_facts(connection: duckdb.DuckDBPyConnection, events: Iterable[Event]) -> set[str]:
    """Create the temporary tables with the facts of `events`; return the names of those that have rows."""
    events = list(events)
    facts: list[Fact] = [fact for event in events for fact in read_facts(event)]
    if merges := [event for event in events if len(event.parents) > 1]:
        facts += _read_merged_renamings(connection, merges)
    for kind, table in FACT_TABLES.items():
        types = {name: _SQL_TYPES.get(annotation, "VARCHAR") for name, annotation in kind.__annotations__.items()}
        columns = ", ".join(f"unnest(${name}::{sql_type}[]) AS {name}" for name, sql_type in types.items())
        values = {name: [getattr(fact, name) for fact in facts if isinstance(fact, kind)] for name in types}
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {columns}", values)
    return {FACT_TABLES[type(fact)] for fact in facts}


def _read_merged_renamings(connection: duckdb.DuckDBPyConnection, merges: Iterable[Event]) -> Iterator[RenamingFact]:
    """Yield the renamings that merges bring from other branches, oldest first."""
    kinds = [payload_class.kind for payload_class in list_payload_classes() if payload_class.renames]
    rows = connection.execute(_RENAMING_EVENTS, {"kinds": kinds}).fetchall()
    if not rows:
        return
    ancestry = read_ancestry(connection)
    for merge in merges:
        first, *others = merge.parents
        merged = ancestry.list_ancestors(others) - ancestry.list_ancestors([first])
        for digest, kind, version, payload in rows:
            if digest in merged:
                renamings = parse_payload(kind, version, parse_canonical_json(payload)).iter_renamings()
                yield from (RenamingFact(*renaming, merge.position, is_merged=True) for renaming in renamings)


def read_facts(event: Event) -> Iterator[Fact]:
    """Yield the facts of an event; `UnsupportedVersionError` if a newer version of geographer wrote it."""
    if not is_supported_event(event.format, event.kind, event.version):
        raise make_version_error(event)
    payload, position = parse_payload(event.kind, event.version, event.payload), event.position
    yield EventFact(position, event.digest, payload.keeps_row_order, event.generation)
    for ordinal, column in enumerate(payload.iter_user_columns()):
        yield UserColumnFact(*column, ordinal, position)
    for ordinal, recipe in enumerate(payload.iter_recipes()):
        order = payload.find_recipe_order(recipe.name) or (event.generation, event.digest, ordinal)
        yield RecipeFact(recipe.name, recipe.kind, canonical_json(recipe.parameters), position, ordinal, *order)
    for name in payload.iter_removed_recipes():
        yield RecipeRemovalFact(name, position)
    for renaming in payload.iter_renamings():
        yield RenamingFact(*renaming, position)
    if (tag := payload.recorded_tag) is not None:
        digests = (tag.digest, tag.content_digest, tag.merkle_root, tag.version, tag.log_root)
        yield TagFact(tag.tag, position, tag.position, *digests)
    for tag in payload.iter_merged_tags():
        yield TagFact(tag.tag, position, None, tag.digest, tag.content_digest, tag.merkle_root, tag.version)

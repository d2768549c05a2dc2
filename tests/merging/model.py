"""A model of a dataset with branches: plain dicts, a three-way merge, and nothing of geographer.

A *table* maps the keys of objects to their columns. What users declare merges by object and column; what recipes derive is
united by object. Commits are named by the digests of their events; the model takes these, and only these, from the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

Columns = Mapping[str, Any]
Table = dict[Any, Columns]
Tables = dict[str, Table]
ConflictKey = tuple[str, Any, str | None]
Stamp = tuple[int, str]
"""The generation and the digest of an event: the order of objects and changes."""

DECLARED: Final = ("class", "feature", "raster", "recipe", "input", "user_column", "removal", "tag")
"""The tables that merge three-way. Rasters are those that users added; an input is a box of a recipe."""
DERIVED: Final = ("chip", "label", "label_object", "split")
"""The tables that are united; the keys of labels, label objects and assignments begin with the recipe and the raster."""


class _Unlike:
    """A base value on which two bases disagree: unlike any other value."""

    def __repr__(self) -> str:
        return "UNLIKE"


UNLIKE: Final = _Unlike()


class Conflict(NamedTuple):
    """A value that both sides changed differently; `column` is None if one side removed the object. Absent is None."""

    subject: str
    key: Any
    column: str | None
    base: Any
    ours: Any
    theirs: Any


@dataclass(frozen=True)
class Commit:
    """An event and the dataset after it.

    Attributes:
        digest: The digest of the event.
        parents: The digests of its parents.
        generation: 1 + the largest generation of the parents.
        declared: What users declared.
        derived: What recipes derived.
        created: By class, the event that created it.
        stamps: By derived table and key, the event that last changed the row.
        conflicts: What is still to be decided.
    """

    digest: str
    parents: tuple[str, ...]
    generation: int
    declared: Tables
    derived: Tables
    created: Mapping[str, Stamp] = field(default_factory=dict)
    stamps: Mapping[tuple[str, Any], Stamp] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()

    @property
    def stamp(self) -> Stamp:
        """Its place in the order of events."""
        return self.generation, self.digest


class Content(NamedTuple):
    """What a merge gives, before an event records it."""

    declared: Tables
    derived: Tables
    created: Mapping[str, Stamp]
    stamps: Mapping[tuple[str, Any], Stamp]
    conflicts: tuple[Conflict, ...]


class History:
    """All commits of all clones."""

    def __init__(self) -> None:
        self.commits: dict[str, Commit] = {}

    def __getitem__(self, digest: str) -> Commit:
        return self.commits[digest]

    def __contains__(self, digest: str) -> bool:
        return digest in self.commits

    def add_commit(
        self,
        digest: str,
        parents: Iterable[str],
        declared: Tables,
        derived: Tables,
        conflicts: tuple[Conflict, ...] = (),
    ) -> Commit:
        """Add the commit of an event with one parent, or none; objects that it changes get its stamp."""
        parents = tuple(parents)
        generation = 1 + max((self[parent].generation for parent in parents), default=0)
        before = self[parents[0]] if parents else Commit("", (), 0, _make_empty(DECLARED), _make_empty(DERIVED))
        stamp = (generation, digest)
        old = before.declared["class"]
        created = {name: before.created[name] if name in old else stamp for name in declared["class"]}
        stamps = dict(before.stamps)
        for table in DERIVED:
            for key in derived[table].keys() | before.derived[table].keys():
                if derived[table].get(key) != before.derived[table].get(key):
                    stamps[table, key] = stamp
        commit = Commit(digest, parents, generation, declared, derived, created, stamps, conflicts)
        self.commits[digest] = commit
        return commit

    def add_merge(self, digest: str, parents: Iterable[str], content: Content, derived: Tables) -> Commit:
        """Add the commit of a merge, a resolution or a reversal, whose derived tables were compared with the model's."""
        commit = self.add_commit(digest, parents, content.declared, derived, content.conflicts)
        self.commits[digest] = replace(commit, created=content.created)
        return self.commits[digest]

    def list_ancestors(self, digest: str) -> set[str]:
        """List a commit and everything that leads to it."""
        ancestors, waiting = set(), [digest]
        while waiting:
            current = waiting.pop()
            if current not in ancestors:
                ancestors.add(current)
                waiting.extend(self[current].parents)
        return ancestors

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Return whether a commit leads to another, or is the same."""
        return older in self.list_ancestors(newer)

    def list_chain(self, digest: str) -> list[str]:
        """List the first parents of a commit, oldest first, and the commit itself."""
        chain = [digest]
        while parents := self[chain[-1]].parents:
            chain.append(parents[0])
        return chain[::-1]

    def find_bases(self, ours: str, theirs: str) -> list[str]:
        """Find the common ancestors that lead to no other common ancestor."""
        common = self.list_ancestors(ours) & self.list_ancestors(theirs)
        older: set[str] = set()
        for digest in common:
            older |= self.list_ancestors(digest) - {digest}
        return sorted(common - older)

    def merge(self, ours: str, theirs: str, bases: Iterable[str] | None = None, take: str = "list") -> Content:
        """Merge two commits; `bases` are the last common commits, or the one that a revert is relative to.

        `take` is the side ('ours', 'theirs') that is taken wherever both changed the same; 'list' leaves conflicts.
        """
        based_on = [self[digest] for digest in (self.find_bases(ours, theirs) if bases is None else bases)]
        return merge_commits(based_on, self[ours], self[theirs], take)


def _make_empty(names: Iterable[str]) -> Tables:
    return {name: {} for name in names}


def merge_commits(bases: list[Commit], ours: Commit, theirs: Commit, take: str = "list") -> Content:
    """Merge what is declared by object and column, renumber classes, and unite what is derived."""
    declared: Tables = {}
    conflicts: list[Conflict] = []
    for table in DECLARED:
        declared[table], found = merge_tables(
            table, [base.declared[table] for base in bases], ours.declared[table], theirs.declared[table]
        )
        conflicts += found
    if take != "list":
        # Classes are numbered after the choice, so that only those that still have one value get another.
        for conflict in conflicts:
            _put_value(declared[conflict.subject], conflict, getattr(conflict, take))
        conflicts = []
    keep_used_classes(declared, ours, theirs)
    created = _merge_creations(declared["class"], ours, theirs)
    used = [row["value"] for commit in (*bases, ours, theirs) for row in commit.declared["class"].values()]
    declared["class"] = renumber_classes(declared["class"], created, used)
    derived, stamps = _unite_derived(bases, ours, theirs)
    derived = drop_dangling(declared, derived)
    return Content(declared, derived, created, stamps, tuple(conflicts))


def merge_tables(subject: str, bases: list[Table], ours: Table, theirs: Table) -> tuple[Table, list[Conflict]]:
    """Merge the objects of a table; where both sides differ from the base, ours stays and there is a conflict."""
    merged: Table = {}
    conflicts: list[Conflict] = []
    for key in sorted(set(ours) | set(theirs) | {key for base in bases for key in base}, key=repr):
        here, there = ours.get(key), theirs.get(key)
        versions = [base.get(key) for base in bases]
        result, found = _merge_object(subject, key, versions, here, there)
        conflicts += found
        if result is not None:
            merged[key] = result
    return merged, conflicts


def _merge_object(
    subject: str, key: Any, bases: list[Columns | None], here: Columns | None, there: Columns | None
) -> tuple[Columns | None, list[Conflict]]:
    base = _agree(bases)
    if here == there or there == base:
        return here, []
    if here == base:
        return there, []
    if here is None or there is None:
        return here, [Conflict(subject, key, None, None if base is UNLIKE else base, here, there)]
    return _merge_columns(subject, key, bases, here, there)


def _merge_columns(
    subject: str, key: Any, bases: list[Columns | None], here: Columns, there: Columns
) -> tuple[Columns, list[Conflict]]:
    merged: dict[str, Any] = {}
    conflicts = []
    for column in sorted(set(here) | set(there) | {name for base in bases for name in base or ()}):
        base = _agree([None if version is None else version.get(column) for version in bases])
        ours, theirs = here.get(column), there.get(column)
        value = theirs if ours == base else ours
        if ours not in (base, theirs) and theirs != base:
            conflicts.append(Conflict(subject, key, column, None if base is UNLIKE else base, ours, theirs))
        if value is not None:
            merged[column] = value
    return merged, conflicts


def _agree(values: list[Any]) -> Any:
    """Return the value on which all bases agree."""
    return values[0] if all(value == values[0] for value in values) else UNLIKE


def _merge_creations(classes: Table, ours: Commit, theirs: Commit) -> dict[str, Stamp]:
    sides = (ours.created, theirs.created)
    return {name: min(side[name] for side in sides if name in side) for name in classes}


def keep_used_classes(declared: Tables, ours: Commit, theirs: Commit) -> None:
    """Keep a class that one side removed if a merged feature has it."""
    for name in {row["class"] for row in declared["feature"].values()} - declared["class"].keys():
        sides = (ours.declared["class"], theirs.declared["class"])
        declared["class"][name] = next(side[name] for side in sides if name in side)


def renumber_classes(classes: Table, created: Mapping[str, Stamp], used: Iterable[int] = ()) -> Table:
    """Give each class whose value an earlier class has the next value above all that are `used`; 0 is the background."""
    renumbered, taken, free = dict(classes), set(), max([0, *used])
    for name in sorted(classes, key=lambda name: (created[name], name)):
        value = classes[name]["value"]
        free = max(free, value)
        if value in taken:
            free += 1
            renumbered[name] = {"value": free}
        taken.add(value)
    return renumbered


def _unite_derived(bases: list[Commit], ours: Commit, theirs: Commit) -> tuple[Tables, dict[tuple[str, Any], Stamp]]:
    """Take the row that one side changed; of two changes the later, and a change rather than a removal."""
    united: Tables = {}
    stamps: dict[tuple[str, Any], Stamp] = {}
    for table in DERIVED:
        united[table] = {}
        here, there = ours.derived[table], theirs.derived[table]
        for key in here.keys() | there.keys():
            base = _agree([commit.derived[table].get(key) for commit in bases])
            side = _choose_side(table, key, base, ours, theirs)
            if (row := side.derived[table].get(key)) is not None:
                united[table][key] = row
    for commit in (theirs, ours):
        for place, stamp in commit.stamps.items():
            stamps[place] = max(stamp, stamps.get(place, stamp))
    return united, stamps


def _choose_side(table: str, key: Any, base: Any, ours: Commit, theirs: Commit) -> Commit:
    here, there = ours.derived[table].get(key), theirs.derived[table].get(key)
    if here == there or there == base:
        return ours
    if here == base or here is None:
        return theirs
    if there is None:
        return ours
    return max(ours, theirs, key=lambda commit: commit.stamps[table, key])


def drop_dangling(declared: Tables, derived: Tables) -> Tables:
    """Leave out chips that users removed, or of rasters that are gone, and labels and assignments of what is gone."""
    chips = {
        key: row
        for key, row in derived["chip"].items()
        if row["parent"] in declared["raster"] and key not in declared["removal"]
    }
    rasters = declared["raster"].keys() | chips.keys()
    labels = {key: row for key, row in derived["label"].items() if key[1] in rasters}
    objects = {key: row for key, row in derived["label_object"].items() if key[:2] in labels}
    assigned = {key: row for key, row in derived["split"].items() if key[1] in rasters}
    return {"chip": chips, "label": labels, "label_object": objects, "split": assigned}


def select_predicted(derived: Tables, declared: Tables, ours: Commit, theirs: Commit) -> Tables:
    """Select the chips and assignments that a merge must have before `update`: of what both sides made alike.

    Those of recipes and rasters that differ on the two sides are made again, and labels with them.
    """
    equal = {
        name
        for name, columns in ours.declared["recipe"].items()
        if theirs.declared["recipe"].get(name) == columns and declared["recipe"].get(name) == columns
    }
    rasters = {
        name for name, columns in ours.declared["raster"].items() if theirs.declared["raster"].get(name) == columns
    } & declared["raster"].keys()
    chips = {key: row for key, row in derived["chip"].items() if row["recipe"] in equal and row["parent"] in rasters}
    assigned = {key: row for key, row in derived["split"].items() if key[0] in equal and key[1] in chips}
    return {"chip": chips, "split": assigned}


def resolve_conflicts(commit: Commit, keys: Iterable[ConflictKey], take: str) -> Content:
    """Decide conflicts by taking the value of 'ours', 'theirs' or 'base'."""
    chosen = set(keys)
    declared = {name: dict(table) for name, table in commit.declared.items()}
    remaining = []
    for conflict in commit.conflicts:
        if conflict[:3] in chosen and conflict.subject in declared:
            _put_value(declared[conflict.subject], conflict, getattr(conflict, take))
        elif conflict[:3] in chosen:
            continue
        else:
            remaining.append(conflict)
    later = (commit.generation + 1, "")
    created = {name: commit.created.get(name, later) for name in declared["class"]}
    used = [row["value"] for row in commit.declared["class"].values()]
    if any(key[0] == "class" for key in chosen):
        declared["class"] = renumber_classes(declared["class"], created, used)
    derived = drop_dangling(declared, commit.derived)
    return Content(declared, derived, created, commit.stamps, tuple(remaining))


def _put_value(table: Table, conflict: Conflict, value: Any) -> None:
    """Give an object, or a column of one that is there, the value; None removes it."""
    if conflict.column is None and value is None:
        table.pop(conflict.key, None)
    elif conflict.column is None:
        table[conflict.key] = value
    elif conflict.key in table:
        columns = {**table[conflict.key], conflict.column: value}
        table[conflict.key] = {name: item for name, item in columns.items() if item is not None}


def is_consistent(declared: Tables) -> bool:
    """Return whether each feature has a class."""
    return {row["class"] for row in declared["feature"].values()} <= declared["class"].keys()

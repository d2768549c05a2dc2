"""Random mutations of a dataset, each of which knows what it means for a version number; and what a log says about that.

`python -m tests.diff.mutations COUNT SEED` checks so many mutations.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from geographer import Dataset
from geographer.diff.version import classify_change
from tests.sample_history import point_geometry, write_scenes

PATCH, MINOR, MAJOR = "PATCH", "MINOR", "MAJOR"


CHIPPED = ("p0", "p1")
"""The features that chips are cut around."""


class Mutation(NamedTuple):
    """A mutation that was carried out: its name, the positions around it, and the expected levels in both directions."""

    name: str
    before: int
    after: int
    forward: str
    backward: str


class Mutator:
    """Carries out mutations of a small dataset, with a seed; a mutation that prepares another one counts, too."""

    def __init__(self, root: Path, seed: int) -> None:
        self.rng, self.inputs, self.count, self.before = random.Random(seed), root / "inputs", 0, 0
        self.mutations: list[Mutation] = []
        self.inputs.mkdir(parents=True)
        self.dataset = Dataset.init(root / "dataset", scm=False, classes=["pond", "quarry", "unused"])
        self.unused_class, self.feature, self.raster = "unused", "", ""
        self.features: dict[str, dict[str, Any]] = {}
        for number in range(8):
            geometry = point_geometry(6.5 + 6 * number, 6.5 + self.rng.randrange(40))
            self.features[f"p{number}"] = {"class": "pond", "depth": 1.0, "geometry": geometry}
        self.write_features(*self.features)
        self.dataset.add_rasters(write_scenes(self.inputs / "first", "a"))
        self.dataset.cut_around_features("chips", size=8, where=f"feature_id IN {CHIPPED}")
        self.dataset.label_masks("mask", collection="chips")
        self.dataset.split("parts", collection="chips", parts={"part": 1.0})

    @property
    def head(self) -> int:
        return self.dataset.log(1)[0].position

    def mutate(self, name: str) -> None:
        """Carry out a mutation, after those that it calls."""
        self.before = self.head
        self.count += 1
        getattr(self, name)()
        self.mutations.append(Mutation(name, self.before, self.head, *LEVELS[name]))
        self.before = self.head

    def write_features(self, *names: str) -> None:
        members = []
        for name in names:
            values = {"id": name, **self.features[name]}
            members.append({"type": "Feature", "geometry": values.pop("geometry"), "properties": values})
        path = self.inputs / f"features{self.count}.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
        self.dataset.add_features(path, crs="EPSG:32633", replace=self.count > 0)

    def write_raster(self, **options: Any) -> None:
        folder, offset = self.inputs / f"rasters{self.count}", 5 + int(self.raster.removeprefix("r"))
        self.dataset.add_rasters(write_scenes(folder, self.raster, offset=offset, seed=self.count), **options)

    def choose_feature(self) -> str:
        """Choose a feature that no chip is cut around, so that chips and labels keep what they show."""
        return self.rng.choice([name for name in self.features if name not in CHIPPED])

    def edit_feature(self, **values: Any) -> None:
        name = self.choose_feature()
        self.features[name] |= values
        self.write_features(name)

    def add_feature(self) -> None:
        self.feature = f"q{self.count}"
        self.features[self.feature] = {"class": "pond", "depth": 1.0, "geometry": point_geometry(60.5, self.count / 9)}
        self.write_features(self.feature)

    def replace_equal(self) -> None:
        self.edit_feature()

    def move_feature(self) -> None:
        self.edit_feature(geometry=point_geometry(33.5, 20 + self.count / 9))

    def edit_property(self) -> None:
        self.edit_feature(depth=1 + self.count / 2)

    def flip_class(self) -> None:
        name = self.choose_feature()
        self.features[name]["class"] = "quarry" if self.features[name]["class"] == "pond" else "pond"
        self.write_features(name)

    def remove_feature(self) -> None:
        self.mutate("add_feature")
        self.dataset.remove_features([self.feature])

    def restore_feature(self) -> None:
        self.mutate("remove_feature")
        self.dataset.restore_features([self.feature])

    def remove_and_restore_feature(self) -> None:
        self.mutate("restore_feature")
        self.before = self.head - 2

    def add_class(self) -> None:
        self.dataset.add_classes([f"class{self.count}"])

    def rename_class(self) -> None:
        self.dataset.remap_classes({self.unused_class: f"unused{self.count}"})
        self.unused_class = f"unused{self.count}"

    def add_raster(self) -> None:
        self.raster = f"r{self.count}"
        self.write_raster()

    def add_reference(self) -> None:
        self.raster = f"r{self.count}"
        self.write_raster(mode="reference", collection="archive")

    def take_in(self) -> None:
        self.mutate("add_reference")
        self.dataset.take_in_rasters()

    def replace_raster(self) -> None:
        self.mutate("add_raster")
        self.count += 1
        self.write_raster(replace=True)

    def remove_raster(self) -> None:
        self.mutate("add_raster")
        self.dataset.remove_rasters([self.raster])

    def restore_raster(self) -> None:
        self.mutate("remove_raster")
        self.dataset.restore_rasters([self.raster])

    def remove_and_restore_raster(self) -> None:
        self.mutate("restore_raster")
        self.before = self.head - 2

    def withdraw_raster(self) -> None:
        self.mutate("add_raster")
        self.dataset.withdraw_rasters([self.raster], reason="the licence ended")

    def withdraw_and_add(self) -> None:
        self.mutate("withdraw_raster")
        self.count += 1
        self.write_raster()
        self.before = self.head - 2

    def cut_chip(self) -> None:
        name, where = f"cut{self.count}", "feature_id = 'p2'"
        self.dataset.cut_around_features(name, size=8, where=where, rasters_where="raster_id = 'a'")

    def cut_nothing(self) -> None:
        self.dataset.cut_around_features(f"cut{self.count}", size=8, where="feature_id = 'none'")

    def add_label(self) -> None:
        self.dataset.label_boxes(f"boxes{self.count}", collection="chips")

    def remove_label(self) -> None:
        self.mutate("add_label")
        self.dataset.remove_recipe(f"boxes{self.count}")

    def change_labels(self) -> None:
        self.dataset.label_masks("mask", collection="chips", ignore=10 + self.count, ignore_where="true", replace=True)

    def add_split(self) -> None:
        self.dataset.split(f"split{self.count}", collection="chips", parts={"train": 0.5, "test": 0.5})

    def move_samples(self) -> None:
        self.dataset.split("parts", collection="chips", parts={f"part{self.count}": 1.0}, replace=True)

    def tag_head(self) -> None:
        self.dataset.tag(f"tag{self.count}")

    def review_head(self) -> None:
        self.dataset.review_revisions("HEAD~1", "HEAD", verdict="approve", message="as agreed")


LEVELS = {
    **dict.fromkeys(("tag_head", "review_head", "cut_nothing", "replace_equal", "take_in"), (PATCH, PATCH)),
    **dict.fromkeys(("remove_and_restore_feature", "remove_and_restore_raster"), (PATCH, PATCH)),
    **dict.fromkeys(("add_feature", "add_class", "add_raster", "add_reference", "cut_chip"), (MINOR, MAJOR)),
    **dict.fromkeys(("add_label", "add_split", "restore_feature", "restore_raster"), (MINOR, MAJOR)),
    **dict.fromkeys(("move_feature", "flip_class", "edit_property", "replace_raster"), (MAJOR, MAJOR)),
    **dict.fromkeys(("change_labels", "rename_class", "move_samples", "withdraw_and_add"), (MAJOR, MAJOR)),
    **dict.fromkeys(("remove_feature", "remove_raster", "withdraw_raster", "remove_label"), (MAJOR, MINOR)),
}
"""The level of each mutation, and the level on the way back."""

PREPARATIONS = {
    *("add_feature", "remove_feature", "restore_feature", "add_raster", "remove_raster", "restore_raster"),
    *("add_reference", "withdraw_raster", "add_label"),
}
"""The mutations that others call."""


_TABLES = ("class_change", "feature_change", "raster_change", "label_change", "label_object_change", "split_change")
_KEYS = {"class_change": "class", "label_change": "label, raster_id", "split_change": "split, raster_id"}
_KEYS |= {
    "feature_change": "feature_id",
    "raster_change": "raster_id",
    "label_object_change": "label, raster_id, feature_id",
}

Content = dict[tuple[str, ...], dict[str, Any]]


class LogOracle:
    """Replays the rows of a log in Python, and compares revisions by the rule of version numbers."""

    def __init__(self, root: Path) -> None:
        self.contents: list[Content] = [{}]
        self.withdrawals: set[int] = set()
        changes: dict[int, list[tuple[tuple[str, ...], dict[str, Any]]]] = {}
        with duckdb.connect(str(root / ".geographer" / "log.duckdb"), read_only=True) as connection:
            known = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
            for table in (*_TABLES, *({"withdrawn_file"} & known)):
                query = f"FROM {table} JOIN chain USING (event_key) WHERE branch = 'main' ORDER BY position, ordinal"
                for row in connection.execute(query).to_arrow_table().to_pylist():
                    if table == "withdrawn_file":
                        self.withdrawals.add(row["position"])
                        continue
                    key = (table, *(row[name] for name in _KEYS[table].split(", ")))
                    changes.setdefault(row["position"], []).append((key, row))
            (last,) = connection.execute("SELECT max(position) FROM chain WHERE branch = 'main'").fetchone() or (0,)
        for position in range(1, last + 1):
            content = dict(self.contents[-1])
            for key, row in changes.get(position, []):
                content.pop(key, None)
                if row["change"] != "removed":
                    content[key] = row
            self.contents.append(content)

    def is_equal(self, before: int, after: int) -> bool:
        """Return whether two positions have the same objects in the same versions."""
        versions = [
            {key: row["row_digest"] for key, row in self.contents[position].items()} for position in (before, after)
        ]
        return versions[0] == versions[1]

    def find_level(self, before: int, after: int) -> str:
        """Return the level of the change from one position to another."""
        if any(before < position <= after for position in self.withdrawals):
            return MAJOR
        old, new = self.contents[before], self.contents[after]
        if any(key not in new or is_edit(row, new[key]) for key, row in old.items()):
            return MAJOR
        if new.keys() - old.keys():
            return MINOR
        return MINOR if any("part" in row and row["part"] != new[key]["part"] for key, row in old.items()) else PATCH


def is_edit(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether an object was edited: not only its file moved, nor a place in a split given that it lacked."""
    free = {"event_key", "position", "ordinal", "change", "row_digest", "branch"}
    if old.get("sha256"):
        free |= {"path", "storage"}
    if old.get("part", "") is None:
        free |= {"part"}
    return any(value != new[name] for name, value in old.items() if name not in free)


def find_wrong_levels(dataset: Dataset, expected: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str, str]]:
    """List the pairs of positions whose level is not the expected one, with both."""
    with dataset._unit_of_work.open_revision() as revision:
        levels = [(*item, classify_change(revision, *item[:2]).level) for item in expected]
    return [item for item in levels if item[2] != item[3]]


def iter_expected(mutations: Iterable[Mutation]) -> Iterator[tuple[int, int, str]]:
    """Yield the positions around each mutation with the expected level, forward and backward."""
    for mutation in mutations:
        yield mutation.before, mutation.after, mutation.forward
        yield mutation.after, mutation.before, mutation.backward


def make_mutations(root: Path, count: int, seed: int) -> tuple[Dataset, list[Mutation]]:
    """Carry out each kind of mutation, and then random ones until there are `count`."""
    mutator = Mutator(root, seed)
    kinds = [name for name in LEVELS if name not in PREPARATIONS]
    for name in mutator.rng.sample(kinds, len(kinds)):
        mutator.mutate(name)
    while len(mutator.mutations) < count:
        mutator.mutate(mutator.rng.choice(kinds))
    return mutator.dataset, mutator.mutations


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        checked, made = make_mutations(Path(folder), int(sys.argv[1]), int(sys.argv[2]))
        wrong = find_wrong_levels(checked, iter_expected(made))
        names = {made_at[1:3]: made_at.name for made_at in made}
        lines = [f"{names.get(pair[:2]) or names[pair[1::-1]]}: {pair}" for pair in wrong]
        print(f"{len(made)} mutations, {len(wrong)} wrong levels", *lines, sep="\n")
        sys.exit(bool(wrong))

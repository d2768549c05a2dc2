"""The dataset that is attacked, and the mutations that make it: one `geographer` command each."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from tests.reliability.processes import Command, run
from tests.sample_history import FIRST_FEATURES, LATER_FEATURES, square_geometry, write_features, write_scenes

CRS: Final = ("--crs", "EPSG:32633")
ONE: Final = ("--workers", "1")
STEPS: Final[dict[str, Command]] = {
    "init": ("init", ".", "--class", "pond", "--class", "quarry", "--no-scm"),
    "classes": ("add", "classes", "water", "track"),
    "features": ("add", "features", "{inputs}/first.geojson", *CRS, "--on-error", "skip"),
    "rasters": ("add", "rasters", "{inputs}/a.tif", "{inputs}/b.tif"),
    "cut": ("cut", "around", "chips", "--size", "16", *ONE),
    "boxes": ("cut", "boxes", "boxes", "{inputs}/boxes.geojson", *CRS, *ONE),
    "label": ("label", "mask", "mask", "--collection", "chips", *ONE),
    "objects": ("label", "boxes", "bounds", "--collection", "chips", "--width", "30m", *ONE),
    "split": ("split", "parts", "--collection", "chips", "--parts", "train=0.5,test=0.5"),
    "tag": ("tag", "v1", "-m", "as published"),
    "replace": ("add", "features", "{inputs}/later.geojson", *CRS, "--replace"),
    "rasters again": ("add", "rasters", "{inputs}/again/b.tif", "{inputs}/again/c.tif", "--replace"),
    "update": ("update", "--on-conflict", "exclude", *ONE),
    "remove feature": ("remove", "features", "q2"),
    "remove raster": ("remove", "rasters", "a"),
    "remap": ("classes", "remap", "quarry=pit", "track="),
    "remove recipe": ("remove", "recipe", "boxes"),
    "import": ("import", "dataset", "{inputs}/other", "--prefix", "o-"),
    "checkout v1": ("checkout", "v1"),
    "checkout HEAD": ("checkout", "HEAD"),
    "second tag": ("tag", "v2"),
}
"""The mutations in their order, by name."""
FIRST_KEPT: Final = "remove recipe"
"""The mutation before which the dataset is attacked by flips, edits, inputs and forgeries."""
OTHER_STEPS: Final[tuple[Command, ...]] = (
    ("init", ".", "--class", "pond", "--no-scm"),
    ("add", "features", "../first.geojson", *CRS, "--on-error", "skip", "--where", "class = 'pond'"),
    ("add", "rasters", "../again/c.tif", "--collection", "theirs"),
)


class Example(NamedTuple):
    """The folder of the inputs, and copies of the dataset before each mutation, by its name, and at the `end`."""

    inputs: Path
    before: dict[str, Path]

    @property
    def root(self) -> Path:
        """The dataset to attack."""
        return self.before.get(FIRST_KEPT) or self.before["end"]

    def make_command(self, step: str) -> Command:
        """Return the command of a mutation, with an idempotency key where the command takes one."""
        command = [argument.format(inputs=self.inputs) for argument in STEPS[step]]
        return command if command[0] in ("init", "checkout") else [*command, "--idempotency-key", f"key of {step}"]

    def find_after(self, step: str) -> Path:
        """Return the copy of the dataset after a mutation."""
        names = [*self.before]
        return self.before[names[names.index(step) + 1]]


def create_example(folder: Path, steps: Iterable[str] = STEPS) -> Example:
    """Create the dataset, by these mutations, and its copies below `folder`, in one process."""
    inputs, work = folder / "inputs", folder / "work"
    for path in (inputs / "other", work):
        path.mkdir(parents=True)
    write_features(inputs / "first.geojson", FIRST_FEATURES)
    write_features(inputs / "later.geojson", LATER_FEATURES)
    write_features(inputs / "boxes.geojson", {"north": ("", square_geometry(4, 5, 8))})
    write_scenes(inputs, "a", "b")
    write_scenes(inputs / "again", "b", "c", offset=1, seed=7)
    example = Example(inputs, {name: folder / "before" / name.replace(" ", "-") for name in (*steps, "end")})
    copies: list[Command] = [("call", "shutil:copytree", ".", str(copy)) for copy in example.before.values()]
    pairs = zip(copies, map(example.make_command, steps), strict=False)
    commands = [command for pair in pairs for command in pair] + copies[-1:]
    failed = [str(done) for done in run(inputs / "other", *OTHER_STEPS) + run(work, *commands) if done.code]
    if failed:
        raise RuntimeError(f"cannot make the dataset to attack: {failed}")
    shutil.rmtree(work)
    return example

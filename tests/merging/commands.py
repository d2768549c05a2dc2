"""The commands of the random histories, with arguments that JSON can hold, so that a child process can be killed in them.

Times and ids of events come from a counter, so that a seed always gives the same digests, whose order decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from geographer import Dataset
from geographer.storage.log import append
from geographer.storage.log.digests import compute_event_digest
from tests.merging.ground import CHIP_SIZES, GRID_SIZE, Box, make_boxes_table, make_feature_table, write_raster

INPUTS: Final = Path("inputs")
"""Where rasters to add lie: in the current folder, whose name the log does not have."""
HALVES: Final = {"train": 0.5, "test": 0.5}

RECIPES: Final[dict[str, tuple[str, list[dict[str, Any]]]]] = {
    "around": ("cut_around_features", [{"size": size} for size in CHIP_SIZES]),
    "grid": ("cut_grid", [{"size": GRID_SIZE}, {"size": GRID_SIZE, "cells": "with-features"}]),
    "spare": ("cut_grid", [{"size": GRID_SIZE, "overlap": overlap} for overlap in (0, 4)]),
    "boxes": ("cut_boxes", [{"boxes": {"n": [1, 1, 6, 6], "s": [70, 10, 5, 5]}}, {"boxes": {"n": [1, 1, 6, 6]}}]),
    "cover": ("cut_cover", [{"size": size} for size in CHIP_SIZES]),
    "mask": ("label_masks", [{"collection": "around"}, {"collection": "around", "all_touched": True}]),
    "instances": ("label_instances", [{"collection": "grid"}]),
    "parts": (
        "split",
        [{"collection": "grid", "parts": HALVES, "seed": seed, "on_conflict": "exclude"} for seed in (0, 1)],
    ),
    "objects": ("split", [{"collection": "around", "parts": HALVES, "by": "object", "on_conflict": "move"}]),
}
"""The method that runs each recipe, and the parameters that users give it."""


class RepeatableEvents:
    """Gives events times and ids from a counter."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self._make_event = append._make_event

    @contextmanager
    def apply(self) -> Iterator[None]:
        """Let events that are appended in the block have the next times and ids."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(append, "_make_event", self.make_event)
            yield

    def make_event(self, *arguments: Any, **options: Any) -> Any:
        """Make an event with the next time and id."""
        self.count += 1
        minutes, seconds = divmod(self.count, 60)
        hours, minutes = divmod(minutes, 60)
        event = self._make_event(*arguments, **options)._replace(
            event_id=f"01a22622-5106-77c9-8c1c-{self.count:012x}",
            recorded_at=f"2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.000000Z",
        )
        return event._replace(digest=compute_event_digest(event.hashed_fields()))


def _add_features(dataset: Dataset, features: dict[str, dict[str, Any]], *, replace: bool) -> Any:
    rows = {name: {**columns, "box": Box(*columns["box"])} for name, columns in features.items()}
    return dataset.add_features(make_feature_table(rows), replace=replace)


def _add_rasters(dataset: Dataset, contents: dict[str, int], *, replace: bool) -> Any:
    return dataset.add_rasters(
        [write_raster(INPUTS, name, content) for name, content in contents.items()], replace=replace
    )


def _run_recipe(dataset: Dataset, name: str, variant: int, *, replace: bool) -> Any:
    method, variants = RECIPES[name]
    parameters = dict(variants[variant])
    if "boxes" in parameters:
        parameters["boxes"] = make_boxes_table({key: Box(*box) for key, box in parameters["boxes"].items()})
    return getattr(dataset, method)(name, **parameters, replace=replace)


COMMANDS: Final[dict[str, Callable[..., Any]]] = {
    "add_features": lambda dataset, features: _add_features(dataset, features, replace=False),
    "replace_features": lambda dataset, features: _add_features(dataset, features, replace=True),
    "remove_features": lambda dataset, ids: dataset.remove_features(ids),
    "add_rasters": lambda dataset, contents: _add_rasters(dataset, contents, replace=False),
    "replace_rasters": lambda dataset, contents: _add_rasters(dataset, contents, replace=True),
    "remove_rasters": lambda dataset, ids: dataset.remove_rasters(ids),
    "add_class": lambda dataset, name: dataset.add_classes([name]),
    "remap_classes": lambda dataset, mapping: dataset.remap_classes(mapping),
    "run_recipe": lambda dataset, name, variant, replace: _run_recipe(dataset, name, variant, replace=replace),
    "remove_recipe": lambda dataset, name: dataset.remove_recipe(name),
    "update": lambda dataset: list(dataset.update(on_conflict="exclude")),
    "tag": lambda dataset, name: dataset.tag(name),
    "create_branch": lambda dataset, name: dataset.create_branch(name),
    "delete_branch": lambda dataset, name: dataset.delete_branch(name),
    "switch": lambda dataset, name: dataset.switch_branch(name),
    "merge": lambda dataset, revision, on_conflict: dataset.merge_branch(revision, on_conflict=on_conflict),
    "abort_merge": lambda dataset: dataset.abort_merge(),
    "resolve": lambda dataset, ids, take: dataset.resolve_conflicts(ids, take),
    "revert": lambda dataset, revision: dataset.revert_event(revision),
    "push": lambda dataset: dataset.push(),
    "fetch": lambda dataset: dataset.fetch(),
    "pull": lambda dataset: dataset.pull(),
}
"""The commands by name: each takes the dataset and arguments that JSON can hold."""


def run_command(root: Path, name: str, arguments: dict[str, Any]) -> Any:
    """Run a command on the dataset in a folder, opened for it as a process would."""
    return COMMANDS[name](Dataset.open(root), **arguments)


def run_in_child(root: str, name: str, arguments: str, count: str) -> None:
    """Run a command in a process that may be killed, which continues the counter of events."""
    with RepeatableEvents(int(count)).apply():
        run_command(Path(root), name, json.loads(arguments))

"""Draw random steps that are possible."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from geographer import Dataset
from tests.merging.commands import RECIPES
from tests.merging.effects import Registry
from tests.merging.ground import SCENES
from tests.merging.model import History, Tables
from tests.merging.steps import Clone, Step

CLASSES: Final = ("pond", "quarry", "reed", "peat", "moss")
KEPT_CLASS: Final = "pond"
"""The class that no step renames or drops, so that there always is one to burn."""
FEATURES: Final = [f"f{number}" for number in range(10)]
BRANCHES: Final = ("topic", "survey", "review")
TAGS: Final = [f"v{number}" for number in range(1, 6)]
MIN_KILL_POINT, MAX_KILL_POINT = 5, 160
"""The first points are those of the files that get what the process prints."""


class Draws:
    """Draws steps from what the model knows."""

    def __init__(
        self, seed: int, history: History, clones: dict[str, Clone], registry: Registry, killed: float
    ) -> None:
        """Use a seed; `killed` of the steps are killed, if it is known what they do."""
        self.random, self.killed = random.Random(seed), killed
        self.history, self.clones, self.registry = history, clones, registry
        self.has_many_branches = seed % 2 == 0
        """Half of the histories have most steps on one clone, and many branches there."""

    def _draw_clone(self) -> str:
        names = [*self.clones]
        return names[0] if self.has_many_branches and self.random.random() < FOCUS else self.random.choice(names)

    def _weigh(self, command: str) -> float:
        return WEIGHTS[command] * (3 if self.has_many_branches and command in BRANCHING else 1)

    def draw_step(self) -> Step:
        """Draw a step that is possible."""
        while True:
            clone = self.clones[self._draw_clone()]
            command = self.random.choices([*WEIGHTS], [self._weigh(name) for name in WEIGHTS])[0]
            arguments = DRAWS[command](self, clone)
            if arguments is not None:
                is_killed = self.registry.knows(command, arguments) and self.random.random() < self.killed
                kill_point = self.random.randint(MIN_KILL_POINT, MAX_KILL_POINT) if is_killed else None
                return Step(clone.name, command, arguments, kill_point)

    def get_declared(self, clone: Clone) -> Tables:
        """Return what is declared at the head of the branch in use."""
        return self.history[clone.head].declared

    def pick(self, names: Iterable[Any], count: int = 1) -> list[Any]:
        """Draw up to `count` of some names."""
        names = sorted(names, key=repr)
        return self.random.sample(names, min(self.random.randint(1, count), len(names)))

    def draw_features(self, clone: Clone, *, replace: bool) -> dict[str, Any] | None:
        """Draw features: new ones, or others that exist, sometimes with an equal row."""
        existing = self.get_declared(clone)["feature"].keys()
        ids = self.pick(existing if replace else set(FEATURES) - existing, 3)
        if not ids:
            return None
        return {"features": {name: self._draw_feature() for name in ids}}

    def _draw_feature(self) -> dict[str, Any]:
        choice = self.random.choice
        column, row = SCENES[choice([*SCENES])]
        box = [column + choice(range(0, 28, 3)), row + choice(range(0, 28, 3)), choice((1, 2, 4)), choice((1, 2, 4))]
        name, note = choice(("lake", "pool")), choice((None, "old", "new"))
        return {"class": choice(CLASSES), "box": box, "name": name, "note": note}

    def draw_rasters(self, clone: Clone, *, replace: bool) -> dict[str, Any] | None:
        """Draw rasters to add, or other contents for some that exist."""
        existing = self.get_declared(clone)["raster"].keys()
        names = self.pick(existing if replace else SCENES.keys() - existing, 2)
        return {"contents": {name: self.random.randint(1, 3) for name in names}} if names else None

    def draw_removed_rasters(self, clone: Clone) -> dict[str, Any] | None:
        """Draw a raster or a chip to remove; most often a chip."""
        commit = self.history[clone.head]
        table = commit.declared["raster"] if self.random.random() < 0.4 else commit.derived["chip"]
        return {"ids": names} if (names := self.pick(table)) else None

    def draw_remap(self, clone: Clone) -> dict[str, Any] | None:
        """Draw a class to rename, to combine with another, or to drop."""
        existing = self.get_declared(clone)["class"].keys()
        names = self.pick(existing & set(CLASSES) - {KEPT_CLASS})
        if not names:
            return None
        target = self.random.choice([*sorted(set(CLASSES) - {*names}), None])
        return {"mapping": {names[0]: target}}

    def draw_recipe(self, clone: Clone) -> dict[str, Any] | None:
        """Draw a recipe to run: a new one, or other parameters of one that exists."""
        commit = self.history[clone.head]
        recipes = commit.declared["recipe"]
        name = self.random.choice([*RECIPES])
        variants = RECIPES[name][1]
        collection = variants[0].get("collection")
        if collection and not any(chip["recipe"] == collection for chip in commit.derived["chip"].values()):
            return None
        if name not in recipes and any(chip["recipe"] == name for chip in commit.derived["chip"].values()):
            return None
        return {"name": name, "variant": self.random.randrange(len(variants)), "replace": name in recipes}

    def draw_removed_recipe(self, clone: Clone) -> dict[str, Any] | None:
        """Draw a recipe that no other uses."""
        recipes = self.get_declared(clone)["recipe"]
        used = {columns.get("collection") for columns in recipes.values()}
        names = self.pick(recipes.keys() - used)
        return {"name": names[0]} if names else None

    def draw_tag(self, clone: Clone) -> dict[str, Any] | None:
        """Draw a tag that the branch does not have."""
        names = self.pick(set(TAGS) - self.get_declared(clone)["tag"].keys())
        return {"name": names[0]} if names else None

    def draw_branch(self, clone: Clone, *, exists: bool) -> dict[str, Any] | None:
        """Draw a branch that is not in use, or a name of none."""
        names = self.pick((clone.heads.keys() - {clone.branch}) if exists else set(BRANCHES) - clone.heads.keys())
        return {"name": names[0]} if names else None

    def draw_merge(self, clone: Clone) -> dict[str, Any] | None:
        """Draw another branch, or a fetched one."""
        names = self.pick({*clone.heads.keys() - {clone.branch}, *(f"origin/{name}" for name in clone.fetched)})
        on_conflict = self.random.choice(("list", "list", "ours", "theirs"))
        return {"revision": names[0], "on_conflict": on_conflict}

    def draw_resolution(self, clone: Clone) -> dict[str, Any] | None:
        """Draw conflicts to decide."""
        if not self.history[clone.head].conflicts:
            return None
        ids = self.list_conflict_ids(clone)
        return {"ids": self.pick(ids, len(ids)), "take": self.random.choice(("ours", "theirs", "base", "smallest"))}

    def list_conflict_ids(self, clone: Clone, *, is_split: bool | None = None) -> list[str]:
        """List the numbers of the open conflicts: all, or those that are of splits, or are not."""
        rows = Dataset.open(Path(clone.name)).list_conflicts().to_pylist()
        return [row["conflict"] for row in rows if is_split in (None, row["subject"] == "split")]

    def draw_revert(self, clone: Clone) -> dict[str, Any] | None:
        """Draw one of the last ordinary events that is no tag."""
        chain = self.history.list_chain(clone.head)[-6:]
        kinds = {event.digest: event.kind for event in Dataset.open(Path(clone.name)).log(6)}
        digests = [digest for digest in chain if kinds.get(digest) not in (None, *IRREVERSIBLE)]
        return {"revision": self.random.choice(digests)} if digests else None

    def draw_abort(self, clone: Clone) -> dict[str, Any] | None:
        """Abort a merge that has conflicts."""
        return {} if self.history[clone.head].conflicts else None


DRAWS: Final[dict[str, Callable[[Draws, Clone], dict[str, Any] | None]]] = {
    "add_features": lambda draws, clone: draws.draw_features(clone, replace=False),
    "replace_features": lambda draws, clone: draws.draw_features(clone, replace=True),
    "remove_features": lambda draws, clone: (
        {"ids": ids} if (ids := draws.pick(draws.get_declared(clone)["feature"], 2)) else None
    ),
    "add_rasters": lambda draws, clone: draws.draw_rasters(clone, replace=False),
    "replace_rasters": lambda draws, clone: draws.draw_rasters(clone, replace=True),
    "remove_rasters": Draws.draw_removed_rasters,
    "add_class": lambda draws, clone: (
        {"name": names[0]} if (names := draws.pick(set(CLASSES) - draws.get_declared(clone)["class"].keys())) else None
    ),
    "remap_classes": Draws.draw_remap,
    "run_recipe": Draws.draw_recipe,
    "remove_recipe": Draws.draw_removed_recipe,
    "update": lambda _draws, _clone: {},
    "tag": Draws.draw_tag,
    "create_branch": lambda draws, clone: draws.draw_branch(clone, exists=False),
    "delete_branch": lambda draws, clone: (
        {"name": names[0]} if (names := draws.pick(clone.heads.keys() - {clone.branch, "main"})) else None
    ),
    "switch": lambda draws, clone: draws.draw_branch(clone, exists=True),
    "merge": Draws.draw_merge,
    "abort_merge": Draws.draw_abort,
    "resolve": Draws.draw_resolution,
    "revert": Draws.draw_revert,
    "push": lambda _draws, _clone: {},
    "fetch": lambda _draws, _clone: {},
    "pull": lambda _draws, _clone: {},
}

WEIGHTS: Final = {
    "add_features": 4,
    "replace_features": 4,
    "remove_features": 2,
    "add_rasters": 3,
    "replace_rasters": 1,
    "remove_rasters": 2,
    "add_class": 2,
    "remap_classes": 1,
    "run_recipe": 4,
    "remove_recipe": 0.5,
    "update": 1.5,
    "tag": 1,
    "create_branch": 1,
    "delete_branch": 0.2,
    "switch": 2,
    "merge": 7,
    "abort_merge": 0.5,
    "resolve": 4,
    "revert": 1.5,
    "push": 3,
    "fetch": 3,
    "pull": 2,
}
"""How often each command is drawn."""
BRANCHING: Final = ("create_branch", "switch", "merge")
FOCUS: Final = 0.7
"""How many steps of a history with many branches are on the first clone."""
IRREVERSIBLE: Final = ("dataset_initialised", "revision_tagged", "branch_merged", "revisions_reviewed")
"""The kinds of events that no step reverts."""

"""How a change goes through: asked for, planned on the head, made, and recorded as one event."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geographer.base.errors import GeographerError, SourceError
from geographer.storage.events import Draft, Head, Recorded, Signature
from geographer.storage.unit_of_work import Change, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from geographer.planning.recipe import Progress, Recipe
    from geographer.storage.queries.revision import Revision

SIGNATURE = frozenset({"message", "author", "idempotency_key", "expected_head", "dry_run"})
"""The keyword arguments that all changes share."""

_EMPTY_IS_NOTHING = frozenset(
    {
        "features_added",
        "rasters_added",
        "catalogue_added",
        "classes_hardened",
        "geographer_imported",
        "dataset_imported",
    }
)


class Changing:
    """The part of `Dataset` that all its changes go through; `root` is the dataset's folder."""

    root: Path
    _recorder: Recorder
    _command: str
    _progress: Progress

    def _change(
        self, kind: str, request: dict[str, Any], options: dict[str, Any], plan: Callable[[Revision], Change]
    ) -> Recorded:
        signature, expected, dry_run = self._signed(options)
        known = self._recorder.known(signature, kind, request)
        if known is not None:
            return known
        head = self._recorder.planning_head(expected)
        with self._recorder.at(head.position) as view:
            change = plan(view)
        empty = not change.draft.rows and not change.draft.payload.get("recipes")
        if dry_run or (empty and kind in _EMPTY_IS_NOTHING):
            summary = {key: value for key, value in change.draft.payload.items() if key != "request"}
            return Recorded(head.position, head.digest, kind, summary, changed=False)
        return self._recorder.record(change, signature, head)

    def _run(
        self,
        recipe: Recipe,
        options: dict[str, Any],
        workers: int,
        **asked: Any,
    ) -> Recorded:
        from geographer.dataset.recipe_registry import require_same
        from geographer.planning.recipe import Run, Workshop, recipe_entry

        signature, expected, dry_run = self._signed(options)
        run = Run(self.root, progress=self._progress, **asked)
        request = {**recipe_entry(recipe), **run.asked()}
        known = self._recorder.known(signature, recipe.event, request)
        if known is not None:
            return known
        head = self._recorder.planning_head(expected)
        with self._recorder.at(head.position) as view:
            again = require_same(view, recipe)
            plan = recipe.plan(view, run)
        planned = {"recipe": recipe_entry(recipe), **plan.summary}
        if dry_run or (again and plan.empty):
            return Recorded(head.position, head.digest, recipe.event, planned, changed=False)
        with self._recorder.staging() as staging:
            outcome = plan.make(Workshop(self.root, staging, workers, self._progress))
            if again and not outcome.draft.rows:
                return Recorded(head.position, head.digest, recipe.event, outcome.draft.payload, changed=False)
            draft = Draft(outcome.draft.kind, {**outcome.draft.payload, "request": request}, outcome.draft.rows)
            if outcome.holds_at is not None and expected is None:
                head = self._moved_on(recipe, outcome.holds_at)
            recorded = self._recorder.record(Change(draft, outcome.files, staged=True), signature, head)
        if outcome.afterwards is not None:
            outcome.afterwards()
        return recorded

    def _moved_on(self, recipe: Recipe, holds_at: Callable[[Revision], None]) -> Head:
        """The head as it is now, on which what was made still holds."""
        from geographer.dataset.recipe_registry import require_same

        head = self._recorder.planning_head(None)
        with self._recorder.at(head.position) as view:
            require_same(view, recipe)
            holds_at(view)
        return head

    def _left(self, recipe: Recipe, error: GeographerError) -> Recorded:
        """A recipe that did not run, and why; it is `incomplete` where the next run may do better by itself."""
        from geographer.planning.recipe import recipe_entry

        head = self._recorder.head()
        told = {
            "recipe": recipe_entry(recipe),
            "incomplete": isinstance(error, SourceError),
            "warnings": [f"'{recipe.name}' was left as it is: {error}"],
        }
        return Recorded(head.position, head.digest, recipe.event, told, changed=False)

    def _signed(self, options: dict[str, Any]) -> tuple[Signature, str | None, bool]:
        unknown = options.keys() - SIGNATURE
        if unknown:
            raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
        signature = self._signature(options.get("message", ""), options.get("author"), options.get("idempotency_key"))
        return signature, options.get("expected_head"), bool(options.get("dry_run", False))

    def _signature(self, message: str, author: str | None, key: str | None) -> Signature:
        return Signature(author or _user(), message or "", self._command, key)


def _user() -> str:
    """Git's author, else the system's user name."""
    name = os.environ.get("GEOGRAPHER_AUTHOR") or os.environ.get("GIT_AUTHOR_NAME")
    if name:
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"

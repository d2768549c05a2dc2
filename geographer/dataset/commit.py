"""How a change goes through: asked for, planned on the head, made, and recorded as one event."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geographer.base.errors import GeographerError, SourceError
from geographer.storage.events import ChangeResult, CommitInfo, EventDraft, Head
from geographer.storage.unit_of_work import Change, UnitOfWork

if TYPE_CHECKING:
    from collections.abc import Callable

    from geographer.planning.recipe import ProgressCallback, Recipe
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
    _recorder: UnitOfWork
    _command: str
    _progress: ProgressCallback

    def _change(
        self, kind: str, request: dict[str, Any], options: dict[str, Any], plan: Callable[[Revision], Change]
    ) -> ChangeResult:
        signature, expected, dry_run = self._signed(options)
        known = self._recorder.find_repeated_request(signature, kind, request)
        if known is not None:
            return known
        head = self._recorder.prepare_head(expected)
        with self._recorder.open_revision(head.position) as view:
            change = plan(view)
        empty = not change.draft.rows and not change.draft.payload.get("recipes")
        if dry_run or (empty and kind in _EMPTY_IS_NOTHING):
            summary = {key: value for key, value in change.draft.payload.items() if key != "request"}
            return ChangeResult(head.position, head.digest, kind, summary, changed=False)
        return self._recorder.record_change(change, signature, head)

    def _run(
        self,
        recipe: Recipe,
        options: dict[str, Any],
        workers: int,
        **asked: Any,
    ) -> ChangeResult:
        from geographer.dataset.recipe_registry import check_recipe_unchanged
        from geographer.planning.recipe import BuildContext, RunOptions, recipe_to_json

        signature, expected, dry_run = self._signed(options)
        run = RunOptions(self.root, progress=self._progress, **asked)
        request = {**recipe_to_json(recipe), **run.to_json()}
        known = self._recorder.find_repeated_request(signature, recipe.event, request)
        if known is not None:
            return known
        head = self._recorder.prepare_head(expected)
        with self._recorder.open_revision(head.position) as view:
            again = check_recipe_unchanged(view, recipe)
            plan = recipe.make_plan(view, run)
        planned = {"recipe": recipe_to_json(recipe), **plan.summary}
        if dry_run or (again and plan.is_empty):
            return ChangeResult(head.position, head.digest, recipe.event, planned, changed=False)
        with self._recorder.make_staging_folder() as staging:
            outcome = plan.build_outputs(BuildContext(self.root, staging, workers, self._progress))
            if again and not outcome.draft.rows:
                return ChangeResult(head.position, head.digest, recipe.event, outcome.draft.payload, changed=False)
            draft = EventDraft(outcome.draft.kind, {**outcome.draft.payload, "request": request}, outcome.draft.rows)
            if outcome.check_still_valid is not None and expected is None:
                head = self._moved_on(recipe, outcome.check_still_valid)
            recorded = self._recorder.record_change(Change(draft, outcome.files, staged=True), signature, head)
        if outcome.on_recorded is not None:
            outcome.on_recorded()
        return recorded

    def _moved_on(self, recipe: Recipe, holds_at: Callable[[Revision], None]) -> Head:
        """The head as it is now, on which what was made still holds."""
        from geographer.dataset.recipe_registry import check_recipe_unchanged

        head = self._recorder.prepare_head(None)
        with self._recorder.open_revision(head.position) as view:
            check_recipe_unchanged(view, recipe)
            holds_at(view)
        return head

    def _left(self, recipe: Recipe, error: GeographerError) -> ChangeResult:
        """A recipe that did not run, and why; it is `incomplete` where the next run may do better by itself."""
        from geographer.planning.recipe import recipe_to_json

        head = self._recorder.read_head()
        told = {
            "recipe": recipe_to_json(recipe),
            "incomplete": isinstance(error, SourceError),
            "warnings": [f"'{recipe.name}' was left as it is: {error}"],
        }
        return ChangeResult(head.position, head.digest, recipe.event, told, changed=False)

    def _signed(self, options: dict[str, Any]) -> tuple[CommitInfo, str | None, bool]:
        unknown = options.keys() - SIGNATURE
        if unknown:
            raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
        signature = self._signature(options.get("message", ""), options.get("author"), options.get("idempotency_key"))
        return signature, options.get("expected_head"), bool(options.get("dry_run", False))

    def _signature(self, message: str, author: str | None, key: str | None) -> CommitInfo:
        return CommitInfo(author or _user(), message or "", self._command, key)


def _user() -> str:
    """Git's author, else the system's user name."""
    name = os.environ.get("GEOGRAPHER_AUTHOR") or os.environ.get("GIT_AUTHOR_NAME")
    if name:
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"

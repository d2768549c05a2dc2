"""How a change is committed: planned on the head, its outputs built, and recorded as one event."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVarTuple

from geographer.base.errors import GeographerError, SourceError
from geographer.storage.events import ChangeResult, CommitInfo, EventDraft, Head
from geographer.storage.unit_of_work import Change, UnitOfWork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geographer.base.progress import ProgressCallback
    from geographer.planning.recipe import Recipe
    from geographer.storage.queries.revision import Revision

_NOT_RECORDED_WHEN_EMPTY = frozenset(
    [
        "features_added",
        "rasters_added",
        "catalogue_added",
        "classes_hardened",
        "geographer_imported",
        "dataset_imported",
    ]
)

Arguments = TypeVarTuple("Arguments")


class CommitOptions(TypedDict, total=False):
    """The keyword arguments of every method that changes a dataset; `Dataset` documents them."""

    message: str
    author: str | None
    idempotency_key: str | None
    expected_head: str | None
    dry_run: bool


class CommitMixin:
    """The part of `Dataset` that commits changes; `root` is the dataset's folder."""

    root: Path
    _unit_of_work: UnitOfWork
    _command: str
    _progress: ProgressCallback

    def _commit_change(
        self,
        kind: str,
        request: dict[str, Any],
        options: Mapping[str, Any],
        plan: Callable[[Revision, *Arguments], Change | EventDraft],
        *arguments: *Arguments,
    ) -> ChangeResult:
        """Plan a change on the head and record it, unless this is a dry run, a repeated request, or nothing to do."""
        commit_info, expected_head, dry_run = self._parse_commit_options(options)
        repeated = self._unit_of_work.find_repeated_request(commit_info, kind, request)
        if repeated is not None:
            return repeated
        head = self._unit_of_work.prepare_head(expected_head)
        with self._unit_of_work.open_revision(head.position) as revision:
            planned = plan(revision, *arguments)
        change = Change(planned) if isinstance(planned, EventDraft) else planned
        is_empty = not change.draft.rows and not change.draft.payload.get("recipes")
        if dry_run or (is_empty and kind in _NOT_RECORDED_WHEN_EMPTY):
            summary = {key: value for key, value in change.draft.payload.items() if key != "request"}
            return ChangeResult(head.position, head.digest, kind, summary, changed=False)
        return self._unit_of_work.record_change(change, commit_info, head)

    def _run_recipe(self, recipe: Recipe, options: Mapping[str, Any], workers: int, **run_options: Any) -> ChangeResult:
        """Plan a recipe on the head, build its outputs and record them, unless there is nothing to do."""
        from geographer.dataset.recipe_registry import check_recipe_unchanged
        from geographer.planning.recipe import BuildContext, RunOptions, recipe_to_json

        commit_info, expected_head, dry_run = self._parse_commit_options(options)
        run = RunOptions(self.root, progress=self._progress, **run_options)
        request = {**recipe_to_json(recipe), **run.to_json()}
        repeated = self._unit_of_work.find_repeated_request(commit_info, recipe.event, request)
        if repeated is not None:
            return repeated
        head = self._unit_of_work.prepare_head(expected_head)
        with self._unit_of_work.open_revision(head.position) as revision:
            is_known = check_recipe_unchanged(revision, recipe)
            plan = recipe.make_plan(revision, run)
        summary = {"recipe": recipe_to_json(recipe), **plan.summary_fields}
        if dry_run or (is_known and plan.is_empty):
            return ChangeResult(head.position, head.digest, recipe.event, summary, changed=False)
        with self._unit_of_work.make_staging_folder() as staging:
            result = plan.build_outputs(BuildContext(self.root, staging, workers, self._progress))
            if is_known and not result.draft.rows:
                return ChangeResult(head.position, head.digest, recipe.event, result.draft.payload, changed=False)
            draft = EventDraft(result.draft.kind, {**result.draft.payload, "request": request}, result.draft.rows)
            if result.check_still_valid is not None and expected_head is None:
                head = self._revalidate_on_new_head(recipe, result.check_still_valid)
            recorded = self._unit_of_work.record_change(Change(draft, result.files, move_files=True), commit_info, head)
        if result.on_recorded is not None:
            result.on_recorded()
        return recorded

    def _revalidate_on_new_head(self, recipe: Recipe, check_still_valid: Callable[[Revision], None]) -> Head:
        """Return the current head after checking that the built outputs are still valid on it."""
        from geographer.dataset.recipe_registry import check_recipe_unchanged

        head = self._unit_of_work.prepare_head(None)
        with self._unit_of_work.open_revision(head.position) as revision:
            check_recipe_unchanged(revision, recipe)
            check_still_valid(revision)
        return head

    def _skip_recipe(self, recipe: Recipe, error: GeographerError) -> ChangeResult:
        """Return the result of a recipe that could not run; it is `incomplete` if a retry may succeed."""
        from geographer.planning.recipe import recipe_to_json

        head = self._unit_of_work.read_head()
        summary = {
            "recipe": recipe_to_json(recipe),
            "incomplete": isinstance(error, SourceError),
            "warnings": [f"recipe '{recipe.name}' was skipped: {error}"],
        }
        return ChangeResult(head.position, head.digest, recipe.event, summary, changed=False)

    def _parse_commit_options(self, options: Mapping[str, Any]) -> tuple[CommitInfo, str | None, bool]:
        """Return the commit info, the expected head's digest prefix, and whether this is a dry run."""
        unknown = options.keys() - CommitOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
        info = self._make_commit_info(options.get("message", ""), options.get("author"), options.get("idempotency_key"))
        return info, options.get("expected_head"), bool(options.get("dry_run", False))

    def _make_commit_info(self, message: str, author: str | None, key: str | None) -> CommitInfo:
        return CommitInfo(author or _read_default_author(), message or "", self._command, key)


def _read_default_author() -> str:
    """Return the author from the environment, else the system's user name."""
    name = os.environ.get("GEOGRAPHER_AUTHOR") or os.environ.get("GIT_AUTHOR_NAME")
    if name:
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"

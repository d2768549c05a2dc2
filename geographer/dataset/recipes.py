"""The methods of `Dataset` that split, update, and remove recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from geographer.base.errors import PluginError, SourceError, UnsupportedProductError
from geographer.dataset.commit import CommitMixin
from geographer.dataset.old_names import accept_old_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geographer.planning.recipe import OnConflict
    from geographer.storage.events import ChangeResult


class RecipeMixin(CommitMixin):
    """The part of `Dataset` that runs recipes; see `Dataset` for the keyword arguments that all changes share."""

    def split(
        self,
        name: str,
        *,
        collection: str,
        parts: dict[str, float],
        by: Literal["object", "overlap"] = "overlap",
        where: str | None = None,
        buffer: float = 0.0,
        stratify: Literal["class"] | None = None,
        seed: int = 0,
        on_conflict: OnConflict | None = None,
        **commit_options: Any,
    ) -> ChangeResult:
        """Assign the rasters of a collection to parts without leakage between parts.

        Args:
            collection: The collection whose rasters are assigned.
            parts: Part to fraction, e.g. `{"train": 0.7, "val": 0.15, "test": 0.15}`.
            by: Keep together rasters that share an 'object', or also those that 'overlap' in pixels.
            where: Only features for which this SQL expression is true count as objects.
            buffer: Also keep together rasters within this geodesic distance in metres (WGS84).
            stratify: 'class' also approximates the fractions within every class.
            seed: Decides between equally good assignments.
            on_conflict: If new features connect two parts, 'exclude' their rasters or 'move' the smaller side.

        Raises:
            ConflictError: two parts are connected and `on_conflict` is not set; nothing is recorded.
            UsageError: the fractions are invalid.
            NotFoundError: the collection does not exist.
        """
        from geographer.operations.split.recipe import Split

        fields: dict[str, Any] = {"by": by, "where": where, "buffer": float(buffer), "stratify": stratify}
        recipe = Split(name=name, collection=collection, parts=tuple(parts.items()), seed=seed, **fields)
        return self._run_recipe(recipe, commit_options, 1, on_conflict=on_conflict)

    @accept_old_arguments
    def update(
        self,
        *,
        workers: int = 1,
        on_conflict: OnConflict | None = None,
        rebuild_covers: bool = False,
        downloads: bool = True,
        **commit_options: Any,
    ) -> list[ChangeResult]:
        """Run every recipe: downloads first, then in their order; one event for each recipe that changes something.

        Each recipe ends in the state that a run from nothing would give: affected outputs are made again, and outputs
        that are no longer selected are retired (history keeps them). Only covers keep their chips, and splits keep
        their assignments. A recipe is skipped, with a warning in its result, if its cutter or label maker cannot be
        imported, its archive does not answer, or a downloaded product cannot be read.

        Args:
            workers: The number of processes.
            on_conflict: As for `split`.
            rebuild_covers: Compute covers from nothing, with the fewest chips.
            downloads: Also run download recipes.

        Raises:
            ConflictError: a split would leak; the events of earlier recipes stay recorded.
        """
        options: dict[str, Any] = {"on_conflict": on_conflict, "rebuild_covers": rebuild_covers, **commit_options}
        return list(self.iter_updates(workers=workers, downloads=downloads, **options))

    @accept_old_arguments
    def iter_updates(
        self,
        *,
        workers: int = 1,
        on_conflict: OnConflict | None = None,
        rebuild_covers: bool = False,
        downloads: bool = True,
        **commit_options: Any,
    ) -> Iterator[ChangeResult]:
        """Run `update` recipe by recipe, and yield each result when it is recorded."""
        from geographer.dataset.recipe_registry import load_recipe
        from geographer.operations.download.recipe import DownloadRecipe

        with self._unit_of_work.open_revision() as revision:
            recipes = [load_recipe(*row) for row in revision.fetch_rows("SELECT name, kind, parameters FROM recipes")]
        # Downloads come first, because the other recipes use what they add.
        recipes = sorted(recipes, key=lambda recipe: recipe.kind != DownloadRecipe.kind)
        if not downloads:
            recipes = [recipe for recipe in recipes if recipe.kind != DownloadRecipe.kind]
        key = commit_options.pop("idempotency_key", None)
        for recipe in recipes:
            keyed = {**commit_options, "idempotency_key": f"{key}/{recipe.name}"} if key else commit_options
            try:
                yield self._run_recipe(recipe, keyed, workers, on_conflict=on_conflict, rebuild_covers=rebuild_covers)
            except (PluginError, SourceError, UnsupportedProductError) as error:
                yield self._skip_recipe(recipe, error)
            # The first recipe has checked the expected head.
            commit_options.pop("expected_head", None)

    def remove_recipe(self, name: str, *, keep: bool = False, **commit_options: Any) -> ChangeResult:
        """Remove a recipe and its outputs; earlier revisions keep both, and the name becomes free.

        Args:
            keep: Keep its outputs, e.g. rasters of an archive that no longer exists.

        Raises:
            NotFoundError: the recipe does not exist.
        """
        from geographer.operations.remove.plan import plan_recipe_removal

        request = {"name": name, **({"keep": True} if keep else {})}
        return self._commit_change("recipe_removed", request, commit_options, plan_recipe_removal, request)

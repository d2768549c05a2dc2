"""The verbs that run recipes: split, update; those that cut and label stand in `cuts` and `labels`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from geographer.base.errors import PluginError, SourceError, UnsupportedProductError
from geographer.dataset.commit import Changing
from geographer.storage.events import ChangeResult
from geographer.storage.unit_of_work import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geographer.planning.recipe import OnConflict


class Recipes(Changing):
    """The part of `Dataset` that runs recipes; see there for the keyword arguments that all changes share."""

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
        **signature: Any,
    ) -> ChangeResult:
        """Assign the rasters of a collection to parts so that nothing leaks from one part into another.

        Args:
            name: The recipe's name.
            collection: Whose rasters.
            parts: Name to share, such as `{"train": 0.7, "val": 0.15, "test": 0.15}`.
            by: What is never parted: rasters that share an 'object', or also those that 'overlap' in pixels.
            where: Only the features for which this SQL expression is true count as objects.
            buffer: Nor rasters that lie within so many metres of each other, geodesic on WGS84.
            stratify: 'class': also near to the shares in every class.
            seed: Decides among assignments that are equally good.
            on_conflict: When new features weld two parts: 'exclude' their chips, or 'move' the smaller side.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            ConflictError: two parts are welded together, and `on_conflict` says nothing; nothing is written.
            UsageError: shares that can't be.
            NotFoundError: no such collection.
        """
        from geographer.operations.split.recipe import Split

        recipe = Split(
            name=name,
            collection=collection,
            parts=tuple(parts.items()),
            by=by,
            where=where,
            buffer=float(buffer),
            stratify=stratify,
            seed=seed,
        )
        return self._run(recipe, signature, 1, on_conflict=on_conflict)

    def update(
        self,
        *,
        workers: int = 1,
        on_conflict: OnConflict | None = None,
        afresh: bool = False,
        downloads: bool = True,
        **signature: Any,
    ) -> list[ChangeResult]:
        """Run every recipe: one event for each recipe that had something to do; downloads first, then in their order.

        What a recipe made comes to what it would make from nothing: what is affected by a change is made again, and
        what is no longer wanted is retired, and stays in history. Only covers keep the chips that they have, and splits
        what they assigned.

        Args:
            workers: How many processes work at once.
            on_conflict: As for `split`.
            afresh: Covers are made anew, with the fewest chips that can be.
            downloads: Run the download recipes too.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        A recipe whose cutter or label maker can't be imported here, or whose archive does not answer, or delivers what
        can't be read, is left as it is, which its `warnings` say.

        Raises:
            ConflictError: a split would leak; what earlier recipes made stays recorded.
        """
        return list(
            self.updating(workers=workers, on_conflict=on_conflict, afresh=afresh, downloads=downloads, **signature)
        )

    def updating(
        self,
        *,
        workers: int = 1,
        on_conflict: OnConflict | None = None,
        afresh: bool = False,
        downloads: bool = True,
        **signature: Any,
    ) -> Iterator[ChangeResult]:
        """`update`, recipe by recipe: each as it is recorded."""
        from geographer.dataset.recipe_registry import load_recipe
        from geographer.operations.download.recipe import Download

        with self._recorder.open_revision() as view:
            recipes = [load_recipe(*row) for row in view.fetch_rows("SELECT name, kind, parameters FROM recipes")]
        # The others make what they make of what downloads bring.
        recipes = sorted(recipes, key=lambda recipe: recipe.kind != Download.kind)
        if not downloads:
            recipes = [recipe for recipe in recipes if recipe.kind != Download.kind]
        key = signature.pop("idempotency_key", None)
        for recipe in recipes:
            keyed = {**signature, "idempotency_key": f"{key}/{recipe.name}"} if key else signature
            try:
                yield self._run(recipe, keyed, workers, on_conflict=on_conflict, afresh=afresh)
            except (PluginError, SourceError, UnsupportedProductError) as error:
                yield self._left(recipe, error)
            # Whoever expected the head has seen it at the first recipe.
            signature.pop("expected_head", None)

    def remove_recipe(self, name: str, *, keep: bool = False, **signature: Any) -> ChangeResult:
        """Remove a recipe with all that it made; earlier revisions keep both, and its name is free again.

        Args:
            name: The recipe's name.
            keep: What it made stays, such as rasters from an archive that is no more.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError: there is no such recipe.
        """
        from geographer.operations.remove.plan import plan_recipe_removal

        request = {"name": name, **({"keep": True} if keep else {})}
        return self._change(
            "recipe_removed", request, signature, lambda view: Change(plan_recipe_removal(view, request))
        )

"""The verbs that declare and run recipes: cut, split, update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from geographer.dataset.changes import Changing
from geographer.events import Recorded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geographer.recipes.recipe import OnConflict


class Recipes(Changing):
    """The part of `Dataset` that runs recipes; see there for the keyword arguments that all changes share."""

    def cut_around_features(
        self,
        name: str,
        *,
        size: int | tuple[int, int],
        mode: Literal["centered", "random"] = "centered",
        seed: int = 0,
        bands: Sequence[int] | None = None,
        target_count: int = 1,
        where: str | None = None,
        source: str = "source",
        at_border: Literal["shift", "pad", "skip"] = "shift",
        pad_value: float | None = None,
        workers: int = 1,
        **signature: Any,
    ) -> Recorded:
        """Cut chips around features: the recipe `name`, whose chips become the collection `name`.

        A feature that `target_count` chips of the recipe contain already gets none, so clusters are not
        over-represented. Nothing is resampled.

        Args:
            name: The recipe's name.
            size: Width and height of a chip in pixels.
            mode: The feature 'centered' in its chip, or at a 'random' place in it.
            seed: Of the random places.
            bands: Which bands, from 1; all when left out.
            target_count: How many chips, from different rasters, are to contain each feature.
            where: Only the features for which this SQL expression is true.
            source: The collection to cut from.
            at_border: 'shift' the chip inside the raster, 'pad' it with nodata, or 'skip' it.
            pad_value: What to pad with where a raster has no nodata value.
            workers: How many processes cut. Scripts that set more than 1 need an `if __name__ == "__main__"` guard.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError: no such collection or column.
            ConflictError: the name stands for another recipe.
            UsageError, CorruptError, StorageError: as the messages say; nothing is recorded then.
        """
        from geographer.recipes.cut.shared import CutAround

        recipe = CutAround(
            name=name,
            size=_size(size),
            source=source,
            bands=tuple(bands) if bands else None,
            at_border=at_border,
            pad_value=pad_value,
            mode=mode,
            seed=seed,
            target_count=target_count,
            where=where,
        )
        return self._run(recipe, signature, workers)

    def cut_grid(
        self,
        name: str,
        *,
        size: int | tuple[int, int],
        bands: Sequence[int] | None = None,
        source: str = "source",
        at_border: Literal["shift", "pad", "skip"] = "shift",
        pad_value: float | None = None,
        workers: int = 1,
        **signature: Any,
    ) -> Recorded:
        """Cut rasters into a grid of chips from their upper left; arguments as `cut_around_features`."""
        from geographer.recipes.cut.shared import CutGrid

        recipe = CutGrid(
            name=name,
            size=_size(size),
            source=source,
            bands=tuple(bands) if bands else None,
            at_border=at_border,
            pad_value=pad_value,
        )
        return self._run(recipe, signature, workers)

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
    ) -> Recorded:
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
        from geographer.recipes.split import Split

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
        return self._run(recipe, signature, 1, on_conflict)

    def update(
        self,
        *,
        workers: int = 1,
        on_conflict: OnConflict | None = None,
        **signature: Any,
    ) -> list[Recorded]:
        """Run every recipe for what is new: one event for each recipe that had something to do, in their order.

        Raises:
            ConflictError: a split would leak; what earlier recipes made stays recorded.
        """
        from geographer.recipes.kinds import recipe_of

        with self._recorder.at() as view:
            recipes = [recipe_of(*row) for row in view.rows("SELECT name, kind, parameters FROM recipes")]
        key = signature.pop("idempotency_key", None)
        recorded = []
        for recipe in recipes:
            keyed = {**signature, "idempotency_key": f"{key}/{recipe.name}"} if key else signature
            recorded.append(self._run(recipe, keyed, workers, on_conflict))
            # Whoever expected the head has seen it at the first recipe.
            signature.pop("expected_head", None)
        return recorded


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])

"""The verbs that cut: around features, in a grid, in given boxes, as few as can be, or in a way of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from geographer.base.values import Size
from geographer.dataset.commit import Changing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geographer.operations.cut.base import Bands
    from geographer.operations.cut.custom import Cutter
    from geographer.planning.selection import SelectorFunction
    from geographer.storage.events import ChangeResult

SizeGiven = int | tuple[int, int] | str
"""Pixels (`512`, `(640, 480)`), or text: `'640x480'`, `'2560m'` for metres on the ground."""

_SMALLEST = 32
_OF_ALL_CUTS = ("source", "rasters_where", "order_by", "bands", "max_nodata", "pad_value", "seed", "workers")


class Cuts(Changing):
    """The part of `Dataset` that cuts chips. Nothing is resampled: a chip's pixels are a window of its raster's.

    Each recipe's chips become the collection of its name. `Dataset.update` cuts what is missing later on, and retires
    chips that are no longer wanted. These methods share the keyword arguments of all changes (see `Dataset`) and:

        source: the collection to cut from.
        rasters_where: only the rasters for which this SQL expression over their columns is true; or a function that
            takes the table of rasters and answers the ids that it chooses; or '@' and the name of one, an entry point
            in `geographer.selectors` or 'module:function'.
        order_by: which rasters come first: SQL expressions over their columns, such as "cloud_cover, acquired DESC",
            or 'random', by the seed. Those added first, when left out.
        bands: which bands, from 1; or by patterns of raster ids, such as {"*-dem": [1], "*-rgb": [1, 2, 3]}.
        max_nodata: the largest share of a chip's pixels that may be nodata or padding.
        pad_value: what to pad with where a raster has no nodata value.
        seed: of what is random.
        workers: how many processes cut. Scripts that set more than 1 need an `if __name__ == "__main__"` guard.

    They raise:

        NotFoundError: no such collection, column, band or selector.
        ConflictError: the name stands for another recipe.
        UsageError, CorruptError, StorageError: as the messages say; nothing is recorded then.
    """

    def cut_around_features(
        self,
        name: str,
        *,
        size: SizeGiven | None = None,
        mode: Literal["centered", "random", "variable"] = "centered",
        scale: float = 1.2,
        min_size: SizeGiven = _SMALLEST,
        target_count: int = 1,
        where: str | SelectorFunction | None = None,
        at_border: Literal["shift", "pad", "skip"] = "shift",
        **shared: Any,
    ) -> ChangeResult:
        """Cut chips around features.

        A feature that `target_count` chips of the recipe contain already gets none, so clusters are not
        over-represented. One that is larger than a chip gets the smallest grid of chips that holds it. Features are
        taken in the order in which they were added, so what comes later moves no chip of what was there.

        Args:
            name: The recipe's name.
            size: Of a chip; for 'variable' chips use `scale` and `min_size` instead.
            mode: The feature 'centered' in its chip, at a 'random' place in it, or in a chip of 'variable' size.
            scale: How many times the feature's bounds a 'variable' chip is.
            min_size: The least size of a 'variable' chip.
            target_count: How many chips, from different rasters, are to contain each feature.
            where: Only the features for which this SQL expression is true; or a function, as `rasters_where`.
            at_border: 'shift' the chip inside the raster, 'pad' it with nodata, or 'skip' it.
            shared: `source`, `rasters_where`, `order_by`, `bands`, `max_nodata`, `pad_value`, `seed`, `workers`;
                `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.
        """
        from geographer.base.errors import UsageError
        from geographer.operations.cut.around import CutAround
        from geographer.planning.selection import parse_selection

        variable = mode == "variable"
        if variable == (size is not None):
            raise UsageError("pass --size; for chips of --mode variable, --scale and --min-size instead")
        options, signature, workers = _shared(shared)
        recipe = CutAround(
            name=name,
            size=Size.parse(min_size if size is None else size),
            mode=mode,
            scale=float(scale) if variable else 1.0,
            target_count=target_count,
            where=parse_selection(where),
            at_border=at_border,
            **options,
        )
        return self._run(recipe, signature, workers)

    def cut_grid(
        self,
        name: str,
        *,
        size: SizeGiven,
        overlap: int = 0,
        edge: Literal["drop", "pad", "shift"] = "shift",
        cells: Literal["all", "with-features"] = "all",
        where: str | SelectorFunction | None = None,
        **shared: Any,
    ) -> ChangeResult:
        """Cut rasters into a grid of chips from their upper left.

        Args:
            name: The recipe's name.
            size: Of a chip.
            overlap: How many columns and rows of pixels neighbours share.
            edge: What becomes of the last column and row: 'drop' them, 'pad' them, or 'shift' them inside the raster.
            cells: All of them, or those in which a selected feature lies.
            where: Only these features, with `cells='with-features'`.
            shared: As for `cut_around_features`.
        """
        from geographer.operations.cut.grid import CutGrid
        from geographer.planning.selection import parse_selection

        options, signature, workers = _shared(shared)
        recipe = CutGrid(
            name=name,
            size=Size.parse(size),
            overlap=overlap,
            edge=edge,
            cells=cells,
            where=parse_selection(where),
            **options,
        )
        return self._run(recipe, signature, workers)

    def cut_boxes(
        self,
        name: str,
        boxes: Any,
        *,
        id: str | None = None,
        crs: str | None = None,
        target_count: int = 1,
        at_border: Literal["pad", "skip"] = "skip",
        **shared: Any,
    ) -> ChangeResult:
        """Cut given boxes: for each the smallest window of whole pixels that holds it.

        The boxes are kept in the log; `update` cuts them from rasters that come later.

        Args:
            name: The recipe's name.
            boxes: Polygons in anything that `add_features` takes. What counts are their bounds in a raster's pixels.
            id: The column of ids; `box_id` or `id` when left out, else the rows are numbered.
            crs: The CRS of the boxes, where the data does not say, or says wrongly.
            target_count: From how many rasters each is cut.
            at_border: 'skip' rasters that do not hold the whole box, or 'pad' what they lack.
            shared: As for `cut_around_features`.
        """
        from geographer.operations.cut.boxes import CutBoxes
        from geographer.operations.cut.read_boxes import read_boxes

        options, signature, workers = _shared(shared)
        with self._recorder.open_revision() as view:
            given, digest = read_boxes(view, name, boxes, id, crs)
        recipe = CutBoxes(
            name=name, boxes=digest, target_count=target_count, at_border=at_border, given=given, **options
        )
        return self._run(recipe, signature, workers)

    def cut_cover(
        self,
        name: str,
        *,
        size: SizeGiven,
        target_count: int = 1,
        where: str | SelectorFunction | None = None,
        at_border: Literal["shift", "pad"] = "shift",
        time_limit: float = 60.0,
        **shared: Any,
    ) -> ChangeResult:
        """Cut the fewest chips of one size such that every selected feature is contained `target_count` times.

        The event records how many there are, and how many it takes at least: the `bound` is proven. Where time runs
        out, chips may be a few more than that.

        Args:
            name: The recipe's name.
            size: Of a chip.
            target_count: How many different chips contain each feature. Where windows of several rasters contain the
                same features, the chips are of different ones; else some may be of one raster.
            where: Only these features, as for `cut_around_features`.
            at_border: 'shift': chips lie inside their rasters; 'pad': they may reach over the edge.
            time_limit: How many seconds the proof may take.
            shared: As for `cut_around_features`.
        """
        from geographer.operations.cut.cover import CutCover
        from geographer.planning.selection import parse_selection

        options, signature, workers = _shared(shared)
        recipe = CutCover(
            name=name,
            size=Size.parse(size),
            target_count=target_count,
            where=parse_selection(where),
            at_border=at_border,
            time_limit=float(time_limit),
            **options,
        )
        return self._run(recipe, signature, workers)

    def cut_own(
        self,
        name: str,
        *,
        cutter: type[Cutter] | str,
        size: SizeGiven = 512,
        options: Mapping[str, Any] | None = None,
        where: str | SelectorFunction | None = None,
        **shared: Any,
    ) -> ChangeResult:
        """Cut the windows that a cutter of one's own chooses.

        Args:
            name: The recipe's name.
            cutter: A subclass of `geographer.Cutter`; the name of its entry point in `geographer.cutters`; or
                'module:Class'.
            size: Handed to the cutter, in each raster's pixels.
            options: Handed to the cutter's constructor; JSON values.
            where: Only these features, as for `cut_around_features`.
            shared: As for `cut_around_features`; windows may reach over the edge if there is a `pad_value`.
        """
        from geographer.operations.cut.custom import CUTTERS, CutOwn, CutterName, kept_options
        from geographer.planning.selection import parse_selection

        kept, signature, workers = _shared(shared)
        recipe = CutOwn(
            name=name,
            size=Size.parse(size),
            cutter=CutterName(*CutterName.resolve(cutter, CUTTERS)),
            options=kept_options(options or {}),
            where=parse_selection(where),
            **kept,
        )
        return self._run(recipe, signature, workers)


def _shared(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The options that all cuts share; those of all changes; and how many workers there are."""
    from geographer.planning.selection import parse_selection

    taken: dict[str, Any] = {name: given[name] for name in _OF_ALL_CUTS if name in given}
    signature = {name: value for name, value in given.items() if name not in taken}
    workers = taken.pop("workers", 1)
    taken["bands"] = _bands(taken.get("bands"))
    taken["rasters_where"] = parse_selection(taken.get("rasters_where"))
    return taken, signature, workers


def _bands(given: Sequence[int] | Mapping[str, Sequence[int]] | None) -> Bands:
    if not given:
        return ()
    patterns = given if hasattr(given, "items") else {"*": given}
    return tuple((pattern, tuple(bands)) for pattern, bands in patterns.items())

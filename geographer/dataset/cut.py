"""The methods of `Dataset` that cut chips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from geographer.base.values import Size
from geographer.dataset.commit import CommitMixin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from geographer.operations.cut.base import BandPatterns
    from geographer.operations.cut.custom import Cutter
    from geographer.planning.recipe import Recipe
    from geographer.planning.selection import SelectorFunction
    from geographer.storage.events import ChangeResult

SizeSpec = int | tuple[int, int] | str
"""Pixels (`512`, `(640, 480)`), or text: `'640x480'`, `'2560m'` for metres on the ground."""

_SMALLEST_SIZE = 32
_CUT_OPTIONS = ("source", "rasters_where", "order_by", "bands", "max_nodata", "pad_value", "seed")


class CutMixin(CommitMixin):
    """The part of `Dataset` that cuts chips. A chip's pixels are a window of its raster's pixels; nothing is resampled.

    The chips of a recipe form the collection of its name. `Dataset.update` cuts missing chips and retires chips that
    are no longer selected. These methods take the keyword arguments of all changes (see `Dataset`) and:

        name: The recipe's name.
        size: The size of a chip: pixels (512, (640, 480)) or text ('640x480', '2560m').
        where: Use only features for which this SQL expression is true; or a function, as for `rasters_where`.
        source: The collection to cut from.
        rasters_where: Cut only rasters for which this SQL expression over their columns is true; or a function that
            takes the table of rasters and returns ids or a mask; or '@' and a name, an entry point in
            `geographer.selectors` or 'module:function'.
        order_by: The order of the rasters: SQL expressions over their columns, e.g. "cloud_cover, acquired DESC", or
            'random' (by `seed`). Default: the order in which they were added.
        bands: Band numbers from 1; or patterns of raster ids, e.g. {"*-dem": [1], "*-rgb": [1, 2, 3]}.
        max_nodata: The largest fraction (0 to 1) of a chip's pixels that may be nodata or padding.
        pad_value: The value of padding where a raster has no nodata value.
        seed: The seed of everything random.
        workers: The number of processes. A script that sets more than 1 needs an `if __name__ == "__main__"` guard.

    They raise:

        NotFoundError: a collection, column, band or selector does not exist.
        ConflictError: the name belongs to another recipe or collection.
        UsageError, CorruptError, StorageError: see the message; nothing is recorded.
    """

    def cut_around_features(
        self,
        name: str,
        *,
        size: SizeSpec | None = None,
        mode: Literal["centered", "random", "variable"] = "centered",
        scale: float = 1.2,
        min_size: SizeSpec = _SMALLEST_SIZE,
        target_count: int = 1,
        where: str | SelectorFunction | None = None,
        at_border: Literal["shift", "pad", "skip"] = "shift",
        **shared: Any,
    ) -> ChangeResult:
        """Cut chips around features.

        A feature that `target_count` chips of the recipe already contain gets no further chip, so clusters are not
        over-represented. A feature larger than a chip gets the smallest grid of chips that contains it. Features are
        processed in the order in which they were added, so later features do not move existing chips.

        Args:
            mode: 'centered' or 'random': where the feature lies in the chip; 'variable' sizes the chip by it.
            scale: The size of a 'variable' chip as a multiple of the feature's bounds.
            min_size: The smallest size of a 'variable' chip.
            target_count: The number of chips, from different rasters, that contain each feature.
            at_border: 'shift' the chip inside the raster, 'pad' it with nodata, or 'skip' it.
        """
        from geographer.base.errors import UsageError
        from geographer.operations.cut.around import CutAround

        variable = mode == "variable"
        if variable == (size is not None):
            cause = "--size has no meaning with --mode variable" if variable else f"--mode {mode} needs --size"
            raise UsageError(f"{cause}. Pass --size, or --mode variable with --scale and --min-size.")
        fields = {"mode": mode, "target_count": target_count, "where": where, "at_border": at_border}
        sizes = {"size": min_size if size is None else size, "scale": float(scale) if variable else 1.0}
        return self._run_cut(CutAround, name, shared, {**fields, **sizes})

    def cut_grid(
        self,
        name: str,
        *,
        size: SizeSpec,
        overlap: int = 0,
        edge: Literal["drop", "pad", "shift"] = "shift",
        cells: Literal["all", "with-features"] = "all",
        where: str | SelectorFunction | None = None,
        **shared: Any,
    ) -> ChangeResult:
        """Cut rasters into a grid of chips that starts at their upper left corner.

        Args:
            overlap: The number of pixel columns and rows that neighbouring chips share.
            edge: 'drop' an incomplete last column and row, 'pad' them, or 'shift' them inside the raster.
            cells: Cut 'all' cells, or only those 'with-features'.
            where: Only these features count for `cells='with-features'`.
        """
        from geographer.operations.cut.grid import CutGrid

        fields = {"size": size, "overlap": overlap, "edge": edge, "cells": cells, "where": where}
        return self._run_cut(CutGrid, name, shared, fields)

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
        """Cut given boxes: for each, the smallest window of whole pixels that contains it.

        The log keeps the boxes; `update` cuts them from rasters that are added later.

        Args:
            boxes: Polygons in any form that `add_features` accepts. Their bounds in a raster's pixels count.
            id: The column of ids. Default: `box_id` or `id`, else the row numbers.
            crs: The CRS of the boxes, if the data do not state it or state it wrongly.
            target_count: The number of rasters that each box is cut from.
            at_border: 'skip' rasters that do not contain the whole box, or 'pad' what they lack.
        """
        from geographer.operations.cut.boxes import CutBoxes
        from geographer.operations.cut.read_boxes import read_boxes

        with self._unit_of_work.open_revision() as revision:
            box_table, digest = read_boxes(revision, name, boxes, id, crs)
        fields = {"boxes": digest, "target_count": target_count, "at_border": at_border, "box_rows": box_table}
        return self._run_cut(CutBoxes, name, shared, fields)

    def cut_cover(
        self,
        name: str,
        *,
        size: SizeSpec,
        target_count: int = 1,
        where: str | SelectorFunction | None = None,
        at_border: Literal["shift", "pad"] = "shift",
        time_limit: float = 60.0,
        **shared: Any,
    ) -> ChangeResult:
        """Cut the fewest chips of one size that contain every selected feature `target_count` times.

        The event records the number of chips and a proven lower bound. If time runs out, there may be more chips than
        needed.

        Args:
            target_count: The number of different chips that contain each feature. They come from different rasters
                where windows of several rasters contain the same features, otherwise some may come from one raster.
            at_border: 'shift' keeps chips inside their rasters; 'pad' lets them extend past the edge.
            time_limit: The seconds that the proof may take.
        """
        from geographer.operations.cut.cover import CutCover

        fields = {"size": size, "where": where, "at_border": at_border, "time_limit": float(time_limit)}
        return self._run_cut(CutCover, name, shared, {**fields, "target_count": target_count})

    def cut_custom(
        self,
        name: str,
        *,
        cutter: type[Cutter] | str,
        size: SizeSpec = 512,
        options: Mapping[str, Any] | None = None,
        where: str | SelectorFunction | None = None,
        **shared: Any,
    ) -> ChangeResult:
        """Cut the windows that a user's cutter returns; they may extend past the edge if there is a `pad_value`.

        Args:
            cutter: A subclass of `geographer.Cutter`, the name of its entry point in `geographer.cutters`, or
                'module:Class'.
            size: The size that the cutter gets, converted to each raster's pixels.
            options: The keyword arguments of the cutter's constructor; JSON values.
        """
        from geographer.operations.cut.custom import CUTTERS, CutCustom
        from geographer.planning.recipe import normalise_options

        fields = {"size": size, "cutter": CUTTERS.resolve_plugin(cutter), "where": where}
        return self._run_cut(CutCustom, name, shared, {**fields, "options": normalise_options(options or {})})

    def _run_cut(
        self, recipe_class: Callable[..., Recipe], name: str, shared: Mapping[str, Any], fields: Mapping[str, Any]
    ) -> ChangeResult:
        """Run the recipe with these fields and the options that all cuts share."""
        from geographer.planning.selection import parse_selection

        workers = shared.get("workers", 1)
        commit_options = {option: value for option, value in shared.items() if option not in (*_CUT_OPTIONS, "workers")}
        parsed = {**fields, **{option: shared[option] for option in _CUT_OPTIONS if option in shared}}
        parsed["bands"] = _parse_bands(parsed.get("bands"))
        for option in parsed.keys() & {"where", "rasters_where"}:
            parsed[option] = parse_selection(parsed[option])
        if "size" in parsed:
            parsed["size"] = Size.from_value(parsed["size"])
        return self._run_recipe(recipe_class(name=name, **parsed), commit_options, workers)


def _parse_bands(bands: Sequence[int] | Mapping[str, Sequence[int]] | None) -> BandPatterns:
    if not bands:
        return ()
    patterns = bands if hasattr(bands, "items") else {"*": bands}
    return tuple((pattern, tuple(bands)) for pattern, bands in patterns.items())
